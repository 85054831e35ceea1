"""Pages in HTML and Markdown: the shared frame, figures, lessons, tables, and the formatting of numbers."""
