"""Start trainhub from a checkout: `python run.py --help` lists the options."""

from trainhub.__main__ import main

if __name__ == "__main__":
    main()
