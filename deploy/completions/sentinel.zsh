#compdef sentinel
# Copy to /usr/share/zsh/vendor-completions/_sentinel, or as _sentinel into another directory of fpath. It asks the installed program,
# and so always fits it.
source <(sentinel completions zsh)
# What was read has replaced this function; zsh calls it by itself only from the next completion on.
_sentinel "$@"
