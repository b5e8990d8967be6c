# Copy to /usr/share/bash-completion/completions/sentinel. It asks the installed program, and so always fits it.
source <(sentinel completions bash)
