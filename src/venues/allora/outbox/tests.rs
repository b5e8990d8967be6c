use super::*;
use crate::venues::allora::messages::{Any, Coin, Fee, SignerInfo};

const CHAIN: &str = "localnet";

fn signer() -> Address {
    Address::of_public_key(&[2; 33])
}

fn signed(key: &str, sequence: u64, fee: u128) -> SentTx {
    let message = Any { type_url: "/emissions.v10.RegisterRequest".to_owned(), value: vec![1] };
    let body = TxBody { messages: vec![message], timeout_height: 90, ..TxBody::default() };
    let auth = AuthInfo {
        signer_infos: vec![SignerInfo { sequence, ..SignerInfo::default() }],
        fee: Some(Fee {
            amount: vec![Coin { denom: DENOM.to_owned(), amount: fee.to_string() }],
            gas_limit: 200_000,
            ..Fee::default()
        }),
    };
    let raw = TxRaw {
        body_bytes: body.encode_to_vec(),
        auth_info_bytes: auth.encode_to_vec(),
        signatures: vec![key.as_bytes().to_vec()],
    };
    let bytes = raw.encode_to_vec();
    SentTx {
        key: key.to_owned(),
        chain_id: CHAIN.to_owned(),
        address: signer(),
        hash: TxHash::of(&bytes),
        terms: SignedTerms::of(&bytes).unwrap(),
        bytes,
        signed_at: UtcMs(1_000),
        signed_height: 80,
        offered: false,
        fate: Fate::Open,
    }
}

fn in_block(code: u32, codespace: &str) -> Fate {
    Fate::Landed(Landed { height: 85, code, codespace: codespace.to_owned(), gas_used: 100, text: String::new() })
}

fn outbox() -> (tempfile::TempDir, Outbox) {
    let dir = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&dir.path().join(OUTBOX_FILE), signer(), CHAIN).unwrap();
    (dir, outbox)
}

#[tokio::test]
async fn what_is_written_is_read_back_by_the_next_process() {
    let (dir, outbox) = outbox();
    let sent = signed("a", 7, 5_000);
    assert_eq!(sent.terms, SignedTerms { sequence: 7, gas_limit: 200_000, fee_uallo: 5_000, timeout_height: 90 });
    assert_eq!(sent.message_type().as_deref(), Some("/emissions.v10.RegisterRequest"));
    outbox.add(&sent).await.unwrap();
    outbox.offer(sent.hash).await.unwrap();
    drop(outbox);

    let outbox = Outbox::open(&dir.path().join(OUTBOX_FILE), signer(), CHAIN).unwrap();
    let expected = SentTx { offered: true, ..sent.clone() };
    assert_eq!(outbox.of_key("a").await.unwrap(), std::slice::from_ref(&expected));
    assert_eq!(outbox.open_ones().await.unwrap(), [expected]);
    let path = dir.path().join(OUTBOX_FILE);
    let elsewhere = Outbox::open(&path, signer(), "elsewhere").unwrap();
    let of_another = Outbox::open(&path, Address::of_public_key(&[3; 33]), CHAIN).unwrap();
    for outbox in [elsewhere, of_another] {
        assert_eq!(outbox.open_ones().await.unwrap(), []);
        assert_eq!(outbox.of_key("a").await.unwrap(), []);
        assert_eq!(outbox.spent(0, UtcMs(0), 0).await.unwrap(), 0);
    }
    assert!(matches!(outbox.add(&sent).await, Err(OutboxError::Twice(hash)) if hash == sent.hash));
    outbox.end(sent.hash, Fate::Never("refused".to_owned())).await.unwrap();
    outbox.add(&sent).await.unwrap();
    assert_eq!(outbox.of_key("a").await.unwrap(), [sent]);
}

#[tokio::test]
async fn a_proven_fate_stays() {
    let (_dir, outbox) = outbox();
    let sent = signed("a", 7, 5_000);
    outbox.add(&sent).await.unwrap();
    outbox.end(sent.hash, in_block(0, "")).await.unwrap();
    outbox.end(sent.hash, Fate::Never("later".to_owned())).await.unwrap();
    assert_eq!(outbox.of_key("a").await.unwrap()[0].fate, in_block(0, ""));
}

#[tokio::test]
async fn a_transaction_in_a_block_ends_the_others_of_its_sequence() {
    let (_dir, outbox) = outbox();
    let (cheap, dear, next) = (signed("a", 7, 5_000), signed("a", 7, 6_000), signed("b", 8, 5_000));
    for sent in [&cheap, &dear, &next] {
        outbox.add(sent).await.unwrap();
    }
    outbox.end(dear.hash, in_block(11, "sdk")).await.unwrap();
    let fates: Vec<_> = outbox.of_key("a").await.unwrap().into_iter().map(|sent| sent.fate).collect();
    assert_eq!(fates[0], Fate::Never(format!("a block has {} with the same sequence", dear.hash)));
    assert_eq!(outbox.open_ones().await.unwrap(), [next]);
}

#[tokio::test]
async fn one_that_failed_before_its_message_has_used_no_sequence() {
    let (_dir, outbox) = outbox();
    let (cheap, dear) = (signed("a", 7, 5_000), signed("a", 7, 6_000));
    for sent in [&cheap, &dear] {
        outbox.add(sent).await.unwrap();
    }
    outbox.end(cheap.hash, in_block(13, "sdk")).await.unwrap();
    assert_eq!(outbox.open_ones().await.unwrap(), [dear]);
}

#[tokio::test]
async fn what_may_still_cost_counts_like_what_has() {
    let (_dir, outbox) = outbox();
    let rows = [
        (signed("paid", 1, 1_000), in_block(0, "")),
        (signed("failed", 2, 200), in_block(11, "sdk")),
        (signed("expired", 3, 40_000), in_block(30, "sdk")),
        (signed("unfunded", 3, 40_000), in_block(5, "sdk")),
        (signed("never", 4, 50_000), Fate::Never(String::new())),
        (signed("unproven", 6, 300_000), Fate::Unproven(String::new())),
        (signed("cheap", 5, 30), Fate::Open),
        (signed("dear", 5, 60), Fate::Open),
    ];
    for (sent, fate) in &rows {
        outbox.add(sent).await.unwrap();
        outbox.end(sent.hash, fate.clone()).await.unwrap();
    }
    let spent = async |next, since| outbox.spent(next, UtcMs(since), 0).await.unwrap();
    assert_eq!(spent(7, 0).await, 301_260, "of two with one sequence, one can be in a block");
    assert_eq!(spent(5, 0).await, 301_200, "the next one takes the place of those that are open");
    assert_eq!(spent(7, 1_000).await, 301_260);
    assert_eq!(spent(7, 1_001).await, 0);
    let besides = outbox.spent(7, UtcMs(0), 2_000_000).await.unwrap();
    assert_eq!(besides, 301_260 + 4 * 2_000_000, "what the topic takes, once for each sequence that may cost anything");
}

#[tokio::test]
async fn a_row_that_was_changed_is_not_acted_on() {
    let changes = [
        "fate = 'never', text = ''",
        "offered = 0",
        "key = 'b'",
        "fate = 'unproven', text = ''",
        "signed_at = 0",
        "signed_height = 99",
        "chain_id = 'other'",
        "bytes = x'0a00'",
        "seal = x'00'",
    ];
    for change in changes {
        let (dir, outbox) = outbox();
        let sent = signed("a", 7, 5_000);
        outbox.add(&sent).await.unwrap();
        outbox.offer(sent.hash).await.unwrap();
        let file = Connection::open(dir.path().join(OUTBOX_FILE)).unwrap();
        file.execute(&format!("UPDATE transactions SET {change}"), []).unwrap();
        let elsewhere = Outbox::open(&dir.path().join(OUTBOX_FILE), signer(), "other").unwrap();
        let read = elsewhere.spent(0, UtcMs(0), 0).await.and(outbox.of_key("b").await);
        let read = read.and(outbox.of_key("a").await).map(|rows| rows.len());
        assert!(
            matches!(&read, Err(OutboxError::Damaged(hash)) if *hash == sent.hash.to_string()),
            "{change}: {read:?}"
        );
    }
}

#[test]
fn a_file_of_another_program_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OUTBOX_FILE);
    for version in [9, 0] {
        let table = format!("CREATE TABLE t{version} (x); PRAGMA user_version = {version}");
        Connection::open(&path).unwrap().execute_batch(&table).unwrap();
        let before = std::fs::read(&path).unwrap();
        assert!(matches!(Outbox::open(&path, signer(), CHAIN), Err(OutboxError::NotAnOutbox)));
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_reader_sees_the_transactions_of_every_wallet_and_writes_nothing() {
    let (dir, outbox) = outbox();
    let path = dir.path().join(OUTBOX_FILE);
    assert_eq!(read_all(&dir.path().join("none.db")).unwrap(), []);
    assert!(!dir.path().join("none.db").exists());
    let sent = signed("a", 7, 5_000);
    outbox.add(&sent).await.unwrap();
    assert_eq!(read_all(&path).unwrap(), [sent]);
    std::fs::write(dir.path().join("other.db"), b"no database at all").unwrap();
    assert!(read_all(&dir.path().join("other.db")).is_err());
}
