"""`python -m mechscope`: the command line, for torchrun and for environments without the script."""

from mechscope.cli.main import main

if __name__ == "__main__":
    main()
