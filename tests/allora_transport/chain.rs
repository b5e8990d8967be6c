//! The same way against the testbed's chain, which shares no code with the client and judges every byte of the wallet.

use std::sync::Arc;
use std::time::Duration;

use sentinel::venues::allora::client::{AccountState, Client, Simulation};
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::endpoints::{Broadcast, EndpointSettings, TxFate};
use sentinel::venues::allora::errors::{Action, Class};
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::messages::{Any, Emissions};
use sentinel::venues::allora::queries::Account;
use sentinel::venues::allora::signing::{SignedTx, TxTerms, WorkerData};
use sentinel::venues::allora::wallet::Wallet;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, PortFuture};
use sentinel_testbed::chain::{self, Chain, Genesis, Options};

use super::{CALL_MAX, CHAIN, chance, until};

/// Known to everyone.
const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const TOPIC: u64 = 67;
const RICH: u128 = 1_000_000_000_000;

/// Block time is that of the chain, which starts at its genesis.
struct ChainClock(Arc<Chain>);

impl Clock for ChainClock {
    fn now(&self) -> UtcMs {
        UtcMs(self.0.truth().time_ms)
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// A worker and its chain.
struct Stage {
    chain: Arc<Chain>,
    wallet: Wallet,
    client: Client,
}

impl Stage {
    fn new(nodes: usize) -> Self {
        Self::of(nodes, |_, _| {})
    }

    fn of(nodes: usize, change: impl FnOnce(&mut Genesis, &str)) -> Self {
        let wallet = Wallet::parse(WORDS).unwrap();
        let mut genesis = Genesis::with_balance(&wallet.address().to_string(), RICH);
        change(&mut genesis, &wallet.address().to_string());
        let chain = Arc::new(Chain::start(Options { nodes, ..Options::by_hand(genesis) }).unwrap());
        let settings = EndpointSettings {
            chain_id: CHAIN.to_owned(),
            rpc: (0..nodes).map(|node| chain.rpc_url(node).parse().unwrap()).collect(),
            call_max: CALL_MAX,
            stale_after: Duration::from_secs(60),
            survey_every: Duration::ZERO,
            cool_down: CoolDown { first: Duration::ZERO, max: Duration::ZERO },
        };
        let clock = Arc::new(ChainClock(chain.clone()));
        Self { client: Client::new(settings, None, clock, chance()).unwrap(), chain, wallet }
    }

    /// With a registered worker and an open window; its nonce.
    fn open(nodes: usize) -> (Self, i64) {
        let stage = Self::of(nodes, |genesis, worker| {
            genesis.topics.get_mut(&TOPIC).unwrap().registered.push(worker.to_owned());
        });
        let nonce = stage.open_window();
        (stage, nonce)
    }

    fn open_window(&self) -> i64 {
        let first = self.chain.height();
        loop {
            let height = self.chain.block();
            if (height - 985) % 20 == 0 {
                return height;
            }
            assert!(height < first + 40);
        }
    }

    async fn account(&self) -> Account {
        match self.client.account(&self.wallet.address(), until()).await.unwrap() {
            AccountState::Known(account) => account,
            AccountState::Unfunded => panic!("it is funded"),
        }
    }

    async fn submission(&self, nonce: i64) -> Any {
        let data = WorkerData::of_value(TOPIC, nonce, Dec::parse("-1.2E-7").unwrap());
        self.wallet.sign_worker_data(&data, self.client.emissions(until()).await.unwrap())
    }

    async fn terms(&self) -> TxTerms {
        let account = self.account().await;
        let gas_limit = 600_000;
        TxTerms {
            chain_id: CHAIN.to_owned(),
            account_number: account.number,
            sequence: account.sequence,
            gas_limit,
            fee_uallo: self.client.gas_price(until()).await.unwrap().fee_uallo(gas_limit).unwrap(),
            timeout_height: 0,
            memo: String::new(),
        }
    }

    async fn signed(&self, nonce: i64) -> SignedTx {
        self.wallet.sign_tx(self.submission(nonce).await, &self.terms().await)
    }

    async fn simulate(&self, message: Any) -> Simulation {
        let terms = self.terms().await;
        self.client.simulate(self.wallet.tx_for_simulation(message, &terms), until()).await.unwrap()
    }

    async fn broadcast(&self, transaction: &SignedTx) -> Broadcast {
        self.client.endpoints().broadcast(&transaction.bytes, until()).await.unwrap()
    }

    async fn class(&self, transaction: &SignedTx) -> Class {
        match self.broadcast(transaction).await {
            Broadcast::Answered { class, .. } => class,
            other => panic!("{other:?}"),
        }
    }

    async fn fate(&self, transaction: &SignedTx) -> TxFate {
        self.client.endpoints().tx(transaction.hash, until()).await.unwrap()
    }

    /// Code and height of a transaction in a block.
    async fn found(&self, transaction: &SignedTx) -> (u32, u64) {
        match self.fate(transaction).await {
            TxFate::Found { transaction, .. } => (transaction.code, transaction.height),
            other => panic!("{other:?}"),
        }
    }
}

fn rejected(simulation: Simulation) -> Class {
    match simulation {
        Simulation::Rejected { class, .. } => class,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_worker_registers_submits_and_reads_its_inference_back() {
    for emissions in [chain::Emissions::V9, chain::Emissions::V10] {
        let stage = Stage::of(2, |genesis, _| genesis.emissions = emissions);
        let version = stage.client.emissions(until()).await.unwrap();
        let registration = stage.wallet.registration(TOPIC, version);
        let Simulation::Gas(gas) = stage.simulate(registration.clone()).await else { panic!("it would run") };
        let terms = TxTerms { gas_limit: gas * 12 / 10, ..stage.terms().await };
        let registration = stage.wallet.sign_tx(registration, &terms);
        assert_eq!(stage.class(&registration).await, Class::Success);
        let height = stage.chain.block();
        assert_eq!(stage.found(&registration).await, (0, height as u64));

        let nonce = stage.open_window();
        let window = stage.client.window_status(TOPIC, &stage.wallet.address(), until()).await.unwrap();
        assert!(window.is_open && window.is_registered && window.is_whitelisted && window.is_topic_active);
        assert_eq!((window.nonce, window.end), (nonce as u64, nonce as u64 + 10));
        let message = stage.submission(nonce).await;
        assert!(matches!(stage.simulate(message).await, Simulation::Gas(gas) if gas > 330_000));
        let submission = stage.signed(nonce).await;
        assert_eq!(stage.class(&submission).await, Class::Success);
        let height = stage.chain.block() as u64;
        assert_eq!(stage.found(&submission).await, (0, height));
        let read = stage.client.latest_inference(TOPIC, &stage.wallet.address(), until()).await.unwrap().unwrap();
        assert_eq!((read.nonce, read.value.parse::<f64>().unwrap()), (nonce as u64, -1.2e-7));
        let header = stage.client.endpoints().header(height, until()).await.unwrap();
        assert_eq!(header.time, UtcMs(stage.chain.truth().time_ms));
        let opened = stage.client.endpoints().block_results(nonce as u64, until()).await.unwrap().events;
        let kind = format!("emissions.{version}.EventWorkerSubmissionWindowOpened");
        assert!(opened.iter().any(|event| event.kind == kind), "{opened:?}");
    }
}

#[tokio::test]
async fn with_any_fault_of_one_node_a_transaction_gets_into_one_block_once() {
    let faults = ["lost-reply", "reset", "hang", "http=502", "http=429/1", "truncated", "cut-off", "html", "full"];
    for fault in faults {
        let (stage, nonce) = Stage::open(2);
        let submission = stage.signed(nonce).await;
        for node in 0..2 {
            stage.chain.script(node, &[&format!("broadcast_tx_sync:{fault}@1")]).unwrap();
        }
        // The second endpoint has the fault too: only the next attempt is answered.
        let first = stage.broadcast(&submission).await;
        assert!(!matches!(first, Broadcast::Answered { class: Class::Success, .. }), "{fault}: {first:?}");
        let second = stage.class(&submission).await;
        assert!(matches!(second, Class::Success | Class::InMempool), "{fault}: {second:?}");
        stage.chain.block();
        assert_eq!(stage.found(&submission).await.0, 0, "{fault}");
        let truth = stage.chain.truth();
        assert_eq!((truth.included.len(), truth.paid_twice()), (1, vec![]), "{fault}");
    }
}

#[tokio::test]
async fn a_lost_reply_is_settled_by_hash_and_an_evicted_one_by_the_blocks() {
    let (stage, nonce) = Stage::open(1);
    let submission = stage.signed(nonce).await;
    stage.chain.script(0, &["broadcast_tx_sync:lost-reply@1"]).unwrap();
    assert!(matches!(stage.broadcast(&submission).await, Broadcast::ReplyLost { refusal: None, .. }));
    let TxFate::NotFound { looked, .. } = stage.fate(&submission).await else { panic!("it is in no block yet") };
    assert_eq!(looked[0].1, nonce as u64);
    assert_eq!(stage.chain.evict(), 1);
    let from = stage.chain.height() as u64;
    stage.chain.blocks_to(from as i64 + 3);
    let look = stage.client.endpoints().tx_in_blocks(submission.hash, from..=from + 3, until()).await;
    assert_eq!(look, Ok(None), "it is in none of these blocks");
    // The identical bytes are taken again, and are then in a block.
    assert_eq!(stage.class(&submission).await, Class::Success);
    let height = stage.chain.block() as u64;
    assert_eq!(stage.found(&submission).await, (0, height));
    let look = stage.client.endpoints().tx_in_blocks(submission.hash, from..=height, until()).await.unwrap();
    assert_eq!(look.map(|delivered| (delivered.height, delivered.code)), Some((height, 0)));
}

#[tokio::test]
async fn what_the_chain_refuses_in_a_simulation_has_its_class() {
    let (stage, nonce) = Stage::open(1);
    let submission = stage.submission(nonce).await;
    let gone = stage.submission(nonce - 1).await;
    assert_eq!(rejected(stage.simulate(gone).await), Class::NonceGone);
    let elsewhere = WorkerData::of_value(4711, nonce, Dec::parse("1").unwrap());
    let elsewhere = stage.wallet.sign_worker_data(&elsewhere, Emissions::V10);
    assert_eq!(rejected(stage.simulate(elsewhere).await).action(), Action::Pause);
    let late = TxTerms { sequence: 7, ..stage.terms().await };
    let late = stage.wallet.tx_for_simulation(submission.clone(), &late);
    let late = rejected(stage.client.simulate(late, until()).await.unwrap());
    assert_eq!(late, Class::Sequence { expected: Some(0) });
    let tight = TxTerms { gas_limit: 70_000, ..stage.terms().await };
    let tight = stage.wallet.tx_for_simulation(submission.clone(), &tight);
    let tight = rejected(stage.client.simulate(tight, until()).await.unwrap());
    assert!(matches!(tight, Class::OutOfGas { gas: Some(gas) } if gas >= 70_000), "{tight:?}");
    stage.chain.topic(TOPIC, |topic| topic.whitelist = Some(vec![]));
    assert_eq!(rejected(stage.simulate(submission.clone()).await), Class::NotWhitelisted);
    stage.chain.topic(TOPIC, |topic| topic.whitelist = None);
    let sent = stage.signed(nonce).await;
    assert_eq!(stage.class(&sent).await, Class::Success);
    stage.chain.block();
    let second = rejected(stage.simulate(submission).await);
    assert_eq!(second.action(), Action::RecordAsDone, "{second:?}");
}

#[tokio::test]
async fn a_worker_that_is_not_registered_or_not_funded_has_its_class() {
    let stage = Stage::new(1);
    let nonce = stage.open_window();
    let submission = stage.submission(nonce).await;
    assert_eq!(rejected(stage.simulate(submission.clone()).await), Class::NotRegistered);
    let poor = Stage::of(1, |genesis, _| genesis.balances.clear());
    assert_eq!(poor.client.account(&poor.wallet.address(), until()).await, Ok(AccountState::Unfunded));
    assert_eq!(poor.client.balance_uallo(&poor.wallet.address(), until()).await, Ok(0));
    let terms = TxTerms { account_number: 1, ..stage.terms().await };
    let unsigned = poor.wallet.tx_for_simulation(submission, &terms);
    assert_eq!(rejected(poor.client.simulate(unsigned, until()).await.unwrap()), Class::Funds);
}

#[tokio::test]
async fn what_the_chain_refuses_at_once_has_its_class_and_costs_nothing() {
    let (stage, nonce) = Stage::open(1);
    let (message, terms) = (stage.submission(nonce).await, stage.terms().await);
    let fee_uallo = terms.fee_uallo;
    let cases = [
        (TxTerms { sequence: 3, ..terms.clone() }, Class::Sequence { expected: Some(0) }),
        (TxTerms { fee_uallo: 1, ..terms.clone() }, Class::Fee { required_uallo: Some(fee_uallo) }),
        (TxTerms { fee_uallo: RICH + 1, ..terms.clone() }, Class::Funds),
        (TxTerms { chain_id: "other-1".to_owned(), ..terms.clone() }, Class::Refused),
        (TxTerms { timeout_height: nonce as u64 - 1, ..terms.clone() }, Class::Expired),
        (TxTerms { memo: "x".repeat(257), ..terms.clone() }, Class::Refused),
    ];
    for (terms, class) in cases {
        assert_eq!(stage.class(&stage.wallet.sign_tx(message.clone(), &terms)).await, class, "{terms:?}");
    }
    stage.chain.block();
    assert_eq!(stage.chain.truth().included, []);
    let sent = stage.wallet.sign_tx(message, &terms);
    assert_eq!(stage.class(&sent).await, Class::Success);
    assert_eq!(stage.class(&sent).await, Class::InMempool, "the same bytes again");
}

#[tokio::test]
async fn after_an_upgrade_the_old_message_is_refused_and_the_new_one_taken() {
    let stage = Stage::of(2, |genesis, worker| {
        genesis.emissions = chain::Emissions::V9;
        genesis.topics.get_mut(&TOPIC).unwrap().registered.push(worker.to_owned());
    });
    let nonce = stage.open_window();
    let old = stage.signed(nonce).await;
    assert_eq!(stage.client.emissions(until()).await, Ok(Emissions::V9));
    stage.chain.upgrade_at(stage.chain.height() + 1);
    stage.chain.block();
    let class = stage.class(&old).await;
    assert_eq!((class, class.action()), (Class::WrongVersion, Action::ProbeVersion));
    assert_eq!(stage.client.probe(until()).await, Ok(Emissions::V10));
    assert_eq!(stage.class(&stage.signed(nonce).await).await, Class::Success);
    // Who only asks notices it as well.
    assert!(stage.client.topic(TOPIC, until()).await.is_ok());
}

#[tokio::test]
async fn one_node_that_lags_lies_or_is_elsewhere_changes_nothing() {
    type Change = fn(&mut chain::View);
    let views: [Change; 6] = [
        |view| view.lag = 8,
        |view| view.stuck_at = Some(1_001),
        |view| view.catching_up = true,
        |view| view.chain_id = Some("other-1".to_owned()),
        |view| view.claimed_height = Some(9_000_000_000),
        |view| view.claimed_height = Some(1),
    ];
    for change in views {
        let (stage, nonce) = Stage::open(3);
        let sent = stage.signed(nonce).await;
        assert_eq!(stage.class(&sent).await, Class::Success);
        stage.chain.blocks_to(nonce + 4);
        for node in 0..3 {
            stage.chain.view(node, change);
            assert_eq!(stage.client.endpoints().latest(until()).await.unwrap().height, nonce as u64 + 4);
            assert_eq!(stage.account().await.sequence, 1);
            assert_eq!(stage.found(&sent).await.0, 0);
            stage.chain.view(node, |view| *view = chain::View::default());
        }
    }
}

#[tokio::test]
async fn an_old_sequence_of_one_node_is_outvoted_by_two() {
    let (stage, nonce) = Stage::open(3);
    assert_eq!(stage.class(&stage.signed(nonce).await).await, Class::Success);
    stage.chain.block();
    for node in 0..3 {
        stage.chain.script(node, &["AccountInfo:old-sequence=1"]).unwrap();
        assert_eq!(stage.account().await.sequence, 1, "node {node} says 0");
        stage.chain.script(node, &[]).unwrap();
    }
}

#[tokio::test]
async fn a_late_index_and_a_missing_one_are_told_apart_from_a_lost_transaction() {
    let (stage, nonce) = Stage::open(1);
    let sent = stage.signed(nonce).await;
    stage.chain.view(0, |view| view.index_lag = 2);
    assert_eq!(stage.class(&sent).await, Class::Success);
    let height = stage.chain.block() as u64;
    for _ in 0..2 {
        assert!(matches!(stage.fate(&sent).await, TxFate::NotFound { looked, .. } if looked[0].1 == height));
    }
    assert_eq!(stage.found(&sent).await, (0, height));
    stage.chain.view(0, |view| view.has_tx_index = false);
    assert!(matches!(stage.fate(&sent).await, TxFate::NotFound { looked, .. } if looked.is_empty()));
    let look = stage.client.endpoints().tx_in_blocks(sent.hash, height..=height, until()).await.unwrap();
    assert_eq!(look.unwrap().code, 0);
}

#[tokio::test]
async fn a_node_without_services_leaves_simulations_to_another_one() {
    let (stage, nonce) = Stage::open(2);
    let message = stage.submission(nonce).await;
    stage.chain.view(0, |view| view.has_services = false);
    assert!(matches!(stage.simulate(message.clone()).await, Simulation::Gas(_)));
    stage.chain.view(1, |view| view.has_services = false);
    assert_eq!(stage.simulate(message).await, Simulation::NotOffered);
}

#[tokio::test]
async fn nodes_that_went_down_are_used_again_when_they_are_up() {
    let (stage, _) = Stage::open(2);
    stage.chain.down(0);
    assert_eq!(stage.account().await.sequence, 0);
    stage.chain.down(1);
    let error = stage.client.account(&stage.wallet.address(), until()).await.unwrap_err().to_string();
    assert!(error.contains("no endpoint"), "{error}");
    stage.chain.up(0).unwrap();
    assert_eq!(stage.account().await.sequence, 0);
}
