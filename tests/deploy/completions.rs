//! The completions, by the shells that read them. Each shell loads the file that a package puts into place.

use std::path::Path;
use std::process::Command;

use super::node::{LONG, SENTINEL, program};
use super::outside::{find, repository_file};

/// A shell whose path begins with this build of `sentinel`.
fn shell(name: &str, variable: &str, dir: &Path) -> Command {
    let mut command = program(find(name, variable).to_str().unwrap(), dir);
    let own = Path::new(SENTINEL).parent().unwrap().display();
    command.env("PATH", format!("{own}:{}", std::env::var("PATH").unwrap_or_default())).env("HOME", dir);
    command
}

#[track_caller]
fn said(mut command: Command) -> String {
    let output = command.output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && err.is_empty(), "{:?}: {err}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers for the last of these words.
fn bash_offers(words: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let mut bash = shell("bash", "SENTINEL_BASH", dir.path());
    // What bash itself does: it looks up the function of the command, and calls it with the words.
    let script = r#"
        source "$1"; shift
        [[ $(complete -p sentinel) =~ -F\ ([^ ]+) ]] || exit 3
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        "${BASH_REMATCH[1]}" sentinel "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    bash.args(["--norc", "--noprofile", "-c", script, "bash"]);
    bash.arg(repository_file("deploy/completions/sentinel.bash")).args(words);
    said(bash).lines().map(str::to_owned).collect()
}

#[test]
#[cfg_attr(not(has_program = "bash"), ignore = "needs bash: see CONTRIBUTING.md")]
fn bash_completes_commands_flags_and_values() {
    assert_eq!(bash_offers(&["sentinel", "jour"]), ["journal"]);
    assert_eq!(bash_offers(&["sentinel", "journal", "cy"]), ["cycles"]);
    assert_eq!(bash_offers(&["sentinel", "run", "--conf"]), ["--config"]);
    assert_eq!(bash_offers(&["sentinel", "completions", "z"]), ["zsh"]);
    let all = bash_offers(&["sentinel", ""]);
    assert!(["run", "arm", "completions"].iter().all(|own| all.iter().any(|offered| offered == own)), "{all:?}");
}

#[test]
#[cfg_attr(not(has_program = "fish"), ignore = "needs fish: see CONTRIBUTING.md")]
fn fish_completes_commands_flags_and_their_values() {
    let dir = tempfile::tempdir().unwrap();
    let offers = |line: &str| {
        let mut fish = shell("fish", "SENTINEL_FISH", dir.path());
        let file = repository_file("deploy/completions/sentinel.fish");
        fish.args(["--no-config", "-c", &format!("source {}; complete -C '{line}'", file.display())]);
        let lines = said(fish);
        lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(offers("sentinel jour"), ["journal"]);
    assert_eq!(offers("sentinel run --conf"), ["--config"]);
    assert_eq!(offers("sentinel journal cycles --format js"), ["json"]);
}

/// In a terminal of its own, because zsh completes nowhere else; already the first completion has to work.
#[test]
#[cfg_attr(not(has_program = "zsh"), ignore = "needs zsh: see CONTRIBUTING.md")]
fn zsh_completes_commands_and_flags_at_the_first_try() {
    let dir = tempfile::tempdir().unwrap();
    let functions = dir.path().join("functions");
    std::fs::create_dir(&functions).unwrap();
    std::fs::copy(repository_file("deploy/completions/sentinel.zsh"), functions.join("_sentinel")).unwrap();
    for (typed, completed) in
        [("sentinel jour", "sentinel journal "), ("sentinel run --conf", "sentinel run --config=")]
    {
        let mut zsh = shell("zsh", "SENTINEL_ZSH", dir.path());
        // The line that was completed is printed in place of being run.
        let script = r#"
            zmodload zsh/zpty zsh/zselect zsh/datetime
            zpty -b inner zsh -f -i
            said= end=$((EPOCHSECONDS + $3))
            hear() {
                until [[ $said == *${~1}* ]]; do
                    ((EPOCHSECONDS < end)) || exit 3
                    if zpty -r inner line; then said+=$line; else zselect -t 2; fi
                done
            }
            zpty -w inner "fpath=($1 \$fpath); autoload -Uz compinit; compinit -u -D"
            zpty -w inner 'took() { print "took[$BUFFER]"; BUFFER=; zle accept-line; }; zle -N took; bindkey "^X" took; print re""ady'
            hear ready; said=
            zpty -n -w inner "$2"$'\t\x18'
            hear 'took\[*\]'
            print -r -- "$said"
            zpty -d inner
        "#;
        zsh.args(["-f", "-c", script, "zsh"]).arg(&functions).arg(typed).arg(LONG.as_secs().to_string());
        let said = said(zsh);
        assert!(said.contains(&format!("took[{completed}]")), "{typed} became {said}");
    }
}
