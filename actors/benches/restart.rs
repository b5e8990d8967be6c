//! From a panic to the answer of the replacement, without back-off, on the two runtimes of production.
//! Prints percentiles; exits 1 when the 99th is above 5 ms.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use sentinel_actors::ports::Chance;
use sentinel_actors::supervision::backoff::Backoff;
use sentinel_actors::supervision::budget::Limit;
use sentinel_actors::supervision::{
    Address, ChildClass, ChildSpec, CrashLog, Generation, Limits, Notice, Supervisor, SupervisorEvent,
    SupervisorSettings,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

const RESTARTS: u64 = 2000;
const LIMIT: Duration = Duration::from_millis(5);

struct NoChance;

impl Chance for NoChance {
    fn unit(&self) -> f64 {
        0.0
    }
}

struct Owner(mpsc::UnboundedSender<Generation>);

impl Owner {
    fn pass_on(&self, supervisor_events: Vec<SupervisorEvent>) {
        for event in supervisor_events {
            if let SupervisorEvent::Up { generation, .. } = event {
                let _ = self.0.send(generation);
            }
        }
    }
}

impl Actor for Owner {
    type Msg = Notice;
    type State = Supervisor;
    type Arguments = (SupervisorSettings, ChildSpec);

    async fn pre_start(
        &self,
        myself: ActorRef<Notice>,
        (settings, spec): Self::Arguments,
    ) -> Result<Supervisor, ActorProcessingErr> {
        let owner = myself.get_cell();
        let notify = Arc::new(move |notice| drop(myself.cast(notice)));
        let mut supervisor = Supervisor::new(owner, settings, vec![spec], notify);
        supervisor.start();
        Ok(supervisor)
    }

    async fn handle(
        &self,
        _: ActorRef<Notice>,
        notice: Notice,
        state: &mut Supervisor,
    ) -> Result<(), ActorProcessingErr> {
        self.pass_on(state.on_notice(notice));
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Notice>,
        event: SupervisionEvent,
        state: &mut Supervisor,
    ) -> Result<(), ActorProcessingErr> {
        self.pass_on(state.on_supervision_event(event));
        Ok(())
    }
}

struct Kid(Generation);

enum KidMsg {
    Panic,
    Who(RpcReplyPort<Generation>),
}

impl Actor for Kid {
    type Msg = KidMsg;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<KidMsg>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<KidMsg>, message: KidMsg, (): &mut ()) -> Result<(), ActorProcessingErr> {
        match message {
            KidMsg::Panic => panic!("on request"),
            KidMsg::Who(port) => drop(port.send(self.0)),
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
async fn measure(address: Address<KidMsg>, mut up: mpsc::UnboundedReceiver<Generation>) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut current = up.recv().await;
    for _ in 0..RESTARTS {
        let begin = Instant::now();
        assert!(address.send(KidMsg::Panic).is_ok());
        let next = up.recv().await;
        assert!(next > current);
        assert_eq!(address.call(KidMsg::Who, Duration::from_secs(10)).await.ok(), next);
        times.push(begin.elapsed());
        current = next;
    }
    times.sort();
    times
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let workers = Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let control = Builder::new_current_thread().enable_time().build()?;
    let address = Address::new();
    let spec = ChildSpec::new("kid", ChildClass::Worker, workers.handle().clone(), &address, |generation| {
        (Kid(generation), ())
    });
    let times = control.block_on(async {
        let unlimited = Limit { restarts: usize::MAX, within: Duration::from_secs(1) };
        let limits = Limits {
            backoff: Backoff { first: Duration::ZERO, longest: Duration::ZERO },
            child: unlimited,
            child_slow: unlimited,
            ..Limits::default()
        };
        let settings = SupervisorSettings {
            limits,
            chance: Arc::new(NoChance),
            control: Handle::current(),
            crashes: CrashLog::install(),
        };
        let (sender, up) = mpsc::unbounded_channel();
        Actor::spawn(None, Owner(sender), (settings, spec)).await?;
        Ok::<_, Box<dyn std::error::Error>>(workers.spawn(measure(address, up)).await?)
    })?;
    let percentile = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("panic to answering replacement, {RESTARTS} restarts:");
    println!(
        "  p50 {:?}  p90 {:?}  p99 {:?}  max {:?}",
        percentile(50),
        percentile(90),
        percentile(99),
        percentile(100)
    );
    workers.shutdown_background();
    Ok(if percentile(99) > LIMIT { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
