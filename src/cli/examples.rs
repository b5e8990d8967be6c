//! Examples under each `--help`. A test parses every one of them.

pub const DEMO: &str = "\
Examples:
  sentinel demo
  sentinel demo --job forecast
  sentinel demo --job allora
  sentinel demo --bars 500 --speed max --state state/short
  sentinel demo --chaos --seed 7 --speed max --state state/chaos";

pub const TRY: &str = "\
Examples:
  sentinel try
  sentinel try --symbol BTCUSD --once";

pub const RUN: &str = "\
Examples:
  sentinel run --config sentinel.toml
  sentinel run --config sentinel.toml --once --state state/once
  sentinel arm --config sentinel.toml
  sentinel arm --config sentinel.toml --until 8h --max-orders 20
  sentinel run --config sentinel.toml --live";

pub const ARM: &str = "\
It asks each model who it is and each venue that tells what it is, shows where
effects would go, and waits for the identity of all of that to be typed. A running node need not be stopped.
`run --live` goes live with exactly that. When the configuration, a place or a
model changes, or a limit is reached, nothing new leaves until it is armed.

Examples:
  sentinel arm --config sentinel.toml
  sentinel arm --config sentinel.toml --until 8h --max-orders 20
  sentinel arm --config sentinel.toml --yes r3ar-6lgh-irja";

pub const CONFIG: &str = "\
Examples:
  sentinel config
  sentinel config mt5 > sentinel.toml";

pub const CHECK: &str = "\
Examples:
  sentinel check --config sentinel.toml
  sentinel check --config sentinel.toml --probe
  sentinel check --config sentinel.toml --live";

pub const WHY: &str = "\
Examples:
  sentinel why eurusd 2017-06-01T13:00:02Z --state state/demo
  sentinel why eurusd 2017-06-01T12:00:00Z";

pub const JOURNAL: &str = "\
Examples:
  sentinel journal cycles --last 20
  sentinel journal cycles --since 2017-06-01T00:00:00Z --outcome skipped
  sentinel journal cycles --summary
  sentinel journal intents --open
  sentinel journal intents --format json --state state/demo";

pub const BACKTEST: &str = "\
Nothing leaves, nothing is armed, and no state directory is touched. Each
pipeline is walked through by itself, on an account of its own.

Examples:
  sentinel backtest --config config/forecast.toml
  sentinel backtest --config sentinel.toml --from 2017-06-01T00:00:00Z --verify
  sentinel backtest --config sentinel.toml --html backtest.html --csv tables";

pub const REPORT: &str = "\
Examples:
  sentinel report --state state/demo
  sentinel report --state state/local --ledger state/gateway/ledger.db
  sentinel report --config config/forecast.toml
  sentinel report --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z
  sentinel report --html report.html --csv tables
  sentinel report --format json | jq .held";

pub const PROVE: &str = "\
Examples:
  sentinel prove --state state/demo
  sentinel prove --config sentinel.toml
  sentinel prove --ledger state/gateway/ledger.db --format json

It ends with 0 when everything holds, and with 1 when something does not.";

pub const FEATURES: &str = "\
Examples:
  sentinel features --input bars.csv --output features.csv
  sentinel features --input bars.csv --output features.csv --window all
  sentinel features --input minutes.csv --output features.csv \\
    --made-from 1m --interval 1h --calendar always --made-bars bars.csv";

pub const PROBE_GATEWAY: &str = "\
0: the dialect is known; 76: that cannot be told without risk, and nothing more
was sent; 69: nothing listens there. Some advisors trade on any message, so only
one question is sent, which no known gateway or advisor takes for a trade.

Examples:
  sentinel probe-gateway 127.0.0.1:5555
  sentinel probe-gateway 127.0.0.1:5555 --symbol EURUSD.m";

pub const BARS: &str = "\
Examples:
  sentinel bars report
  sentinel bars fetch --config sentinel.toml --output bars.csv \\
    --from 2026-01-05T00:00:00Z --to 2026-02-05T00:00:00Z";

pub const BARS_FETCH: &str = "\
Examples:
  sentinel bars fetch --config sentinel.toml --output bars.csv \\
    --from 2026-01-05T00:00:00Z --to 2026-02-05T00:00:00Z";

pub const BARS_REPORT: &str = "\
Examples:
  sentinel bars report
  sentinel bars report --config sentinel.toml";

pub const HUB: &str = "\
Faults (--fault FAULT[@N[-M]], may be repeated, the first rule that names an
invocation decides). N counts invocations since the process began; without N
every one is meant.
  drop            closes the connection without an answer
  error=CODE      answers with this status, 400 to 599
  hang            never answers
  dribble=DUR     sends the right answer byte by byte, over DUR
  nan             every number is NaN
  two-rows        two rows for one
  scalar          a bare number instead of rows
  sum             probabilities that add up to 2.75
  four-classes    one number too many
  not-json        an HTML page with status 200
  huge            the right answer in a body of 2 MiB
  negative        a probability of -0.1
  swap=FILE       serves another ONNX file from the Nth invocation on
  none            no fault, as in --fault none@1-4 --fault nan

Examples:
  sentinel hub --model config/demo/model.onnx
  sentinel hub --model config/demo/model.onnx --port 0 --fault nan@1-3";

pub const HEALTH: &str = "\
Examples:
  sentinel health
  sentinel health --state state/demo";

pub const STATUS: &str = "\
Examples:
  sentinel status
  sentinel status --watch
  sentinel status --format json --state state/demo";

pub const HALT: &str = "\
What protects a position at the venue goes on there. Without any program, a
file named HALT in the state directory halts everything, and its text is the
reason.

Examples:
  sentinel halt --reason 'Ann: the gateway answers nonsense'
  sentinel halt eurusd --reason 'Ann: strange fills' --state state/demo";

pub const FLATTEN: &str = "\
First new orders of the symbol are halted. Then each position that the node
has opened is closed, and positions are read again. It ends with 0 only when
nothing of the symbol is listed any more. What another hand has opened is shown
and left. Only for a dialect that closes by ticket: docs/dialects.md.

Examples:
  sentinel flatten eurusd
  sentinel flatten eurusd --yes EURUSD@demo-1 --state state/live
  sentinel flatten eurusd --config sentinel.toml";

pub const RESUME: &str = "\
Examples:
  sentinel resume
  sentinel resume halt-3 --reason 'Ann: the gateway was restarted'
  sentinel resume --state state/demo";

pub const SETTLE: &str = "\
`sentinel report` shows what is held. A running node takes it up before its
next decision; of a stopped one the journal is changed.

Examples:
  sentinel settle r3ar6lghirja --ticket 1000083 --evidence 'Ann: in MT5'
  sentinel settle sn:r3ar6lghirja --absent --evidence 'Ann: not in MT5'";

pub const BACKUP: &str = "\
Journal, paper book, outbox of transactions and what the alerts remember, as
they are at one instant. No secret and no arm is in it. It is read back before
it gets its name, and overwrites nothing.

Examples:
  sentinel backup --to /srv/backups
  sentinel backup --state state/demo --to demo.tar.gz";

pub const RESTORE: &str = "\
The node that the backup is of may have gone on, and what it has sent since is
not in the copy. So the restored node is halted and not armed: it asks the
venue for what is open, and sends nothing before `sentinel resume`.

Examples:
  sentinel restore demo.tar.gz --state state/restored";

pub const BUNDLE: &str = "\
The newest days of the journal, the effective configuration, versions, crashes,
status and metrics of a running node, and the end of its log, in one archive
below 5 MB: what is too much is left out, the oldest first.

Examples:
  sentinel bundle --config sentinel.toml --to bundle.tar.gz
  sentinel bundle --state state/demo --days 2 --to demo-bundle.tar.gz";

pub const ALERT: &str = "\
Examples:
  sentinel alert test phone --config sentinel.toml
  sentinel alert test dead-man";

pub const ALERT_TEST: &str = "\
0: the route has taken it; 69: it has not; 78: the configuration has no such
route, or its secret cannot be used. `dead-man` is the check of
[alerts.dead_man].

Examples:
  sentinel alert test phone --config sentinel.toml
  sentinel alert test dead-man";

pub const GATEWAY: &str = "\
Faults (--fault FAULT[@N[-M]], may be repeated, the first rule that names an
order decides). N counts order requests since the process began: ORDER_SEND,
OPEN_ORDER and place_order; without N every one is meant.
  delay=DUR       fills at once, replies after DUR
  slow=DUR        waits DUR, then fills and replies
  frozen=DUR      its process is stopped (SIGSTOP) for DUR, then fills, replies
  lost-reply      fills, never replies
  garbage         fills, replies bytes that are no JSON
  stranger-id     fills, replies with another req_id (order-send replies carry
                  no id: nothing changes there)
  previous-reply  fills, replies what the order before was answered
  reused-ticket   fills, replies with the ticket of the order before
  refuse=CODE     does not fill, replies this retcode
  placed          10008: a ticket, not filled
  partial         10010: fills half
  deaf=DUR        answers, then reads nothing for DUR
  away=DUR        fills, closes the socket without a reply, forgets its ids,
                  comes back after DUR
  die             fills, then kills itself (SIGKILL)
  die-before      kills itself before it fills
  none            no fault, as in --fault none@1-4 --fault placed

Traps (--trap TRAP, may be repeated): what the public gateways do all the time.
  hides-refusals  OPEN_ORDER: a refusal is a success with ticket 0, volume 0
  blind           GET_POSITIONS: an empty list; GET_ACCOUNT_INFO: an error
  cannot-close    CLOSE_POSITION: an error; KILL_SWITCH counts what stays open
  says-closed     CLOSE_POSITION: a success that closes nothing
  lost-close      CLOSE_POSITION: closes, never replies
  constants       GET_ACCOUNT_INFO: trade_mode 2, server_name UNKNOWN
  stub            fills every order as ticket 12345, and trades nothing

With --advisor newer it trades on each message with the word magic or action,
with --advisor older on TRADE or EXECUTION, as the Expert Advisors do.

Examples:
  sentinel gateway --paper
  sentinel gateway --paper --bars EURUSD=config/demo/eurusd_1h_2017.csv
  sentinel gateway --paper --port 0 --fault lost-reply@3";

pub const ALLORA: &str = "\
Examples:
  sentinel allora address
  sentinel allora status --topic 67
  sentinel allora report --config node.toml
  sentinel allora report --config node.toml --backfill
  sentinel allora sign --input case.json";

pub const ALLORA_ADDRESS: &str = "\
The wallet is in the file that ALLORA_MNEMONIC_FILE names, else in systemd's
credential MNEMONIC, else in the variable MNEMONIC, also of .env. When
ALLORA_WALLET_ADDR is set, the wallet must have that address.

Examples:
  sentinel allora address";

pub const ALLORA_CANONICAL: &str = "\
Examples:
  sentinel allora canonical 0.00000012
  sentinel allora canonical -1.2e-07";

pub const ALLORA_SIGN: &str = "\
Examples:
  sentinel allora sign --input case.json";

pub const ALLORA_DECODE: &str = "\
Examples:
  sentinel allora decode 0a90010a8d010a20";

pub const ALLORA_STATUS: &str = "\
Examples:
  sentinel allora status --topic 67
  sentinel allora status --network mainnet --topic 67
  sentinel allora status --config node.toml --topic 67";

pub const ALLORA_REPORT: &str = "\
Examples:
  sentinel allora report --config node.toml
  sentinel allora report --config node.toml --state state/competition --backfill";

pub const COMPLETIONS: &str = "\
Examples:
  sentinel completions bash > sentinel.bash
  sentinel completions fish | source";

/// Under the help of the whole program.
pub const PROGRAM: &str = "\
Start with `sentinel demo`: it needs no configuration, no network, no account.

Exit codes:
    0  done, or the competition is over
    1  a proof failed, nothing was found, or a node is not healthy
   64  wrong command line
   69  `run --once` could not decide, or a server did not listen or answer
   70  the node gave up, start it again
   74  the disk failed
   75  another process uses the state directory or the ledger
   76  `probe-gateway` cannot tell without risk what listens there
   78  the configuration or model cannot be used
  134  the watchdog ended a node that stood still

Examples:
  sentinel demo
  sentinel check --config sentinel.toml
  sentinel run --config sentinel.toml
  sentinel report";
