"""The studio: a garment photograph becomes a fashion sketch in a blend of the designers' styles.

    python app.py [--port 7860] [--host 127.0.0.1] [--federation] [--certificate FILE --key FILE]

A Space starts this file. An installed package has the same as the command ``fedgai-studio``. docs/configuration.md lists the
environment variables.
"""

from studio.command import main

if __name__ == "__main__":
    main()
