# Copy to /usr/share/fish/vendor_completions.d/sentinel.fish. It asks the installed program, and so always fits it.
sentinel completions fish | source
