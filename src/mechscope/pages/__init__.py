"""HTML pages: the frame that they share, figures, Markdown, and how numbers read on them."""
