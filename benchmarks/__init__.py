"""Speed and memory of mechscope and of other libraries, measured in the same run with equal outputs."""
