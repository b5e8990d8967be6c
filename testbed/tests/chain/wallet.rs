//! A wallet that signs what a test tells it to, right or wrong.

use bech32::{Bech32, Hrp};
use data_encoding::HEXLOWER;
use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

use crate::proto::{bytes, number, text};

/// The order of secp256k1.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

#[derive(Clone)]
pub struct Wallet {
    key: SigningKey,
    pub address: String,
}

impl Wallet {
    /// Another one for each seed; the addresses of the seeds 1 and 2 are in the order of the alphabet.
    pub fn new(seed: u8) -> Self {
        let key = SigningKey::from_slice(&[seed; 32]).unwrap();
        let hash = Ripemd160::digest(Sha256::digest(public_key(&key)));
        let address = bech32::encode::<Bech32>(Hrp::parse("allo").unwrap(), &hash).unwrap();
        Self { key, address }
    }

    pub fn public_key(&self) -> Vec<u8> {
        public_key(&self.key)
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(message);
        signature.normalize_s().to_bytes().to_vec()
    }
}

fn public_key(key: &SigningKey) -> Vec<u8> {
    key.verifying_key().to_sec1_point(true).as_bytes().to_vec()
}

/// The other signature that is as true as this one, with a high s.
pub fn high_s(signature: &[u8]) -> Vec<u8> {
    let mut high = signature[..32].to_vec();
    let (mut rest, mut borrow) = (Vec::new(), 0_i32);
    for index in (0..32).rev() {
        let difference = i32::from(ORDER[index]) - i32::from(signature[32 + index]) - borrow;
        borrow = i32::from(difference < 0);
        rest.push(difference.rem_euclid(256) as u8);
    }
    high.extend(rest.into_iter().rev());
    assert_eq!(Signature::from_slice(&high).unwrap().normalize_s().to_bytes()[..], *signature);
    high
}

/// A transaction to be; each field may be made wrong.
#[derive(Clone)]
pub struct Draft {
    pub wallet: Wallet,
    pub chain_id: String,
    pub number: u64,
    pub sequence: u64,
    pub gas: u64,
    pub fee: Vec<(&'static str, String)>,
    pub granter: String,
    pub memo: String,
    pub timeout: u64,
    pub messages: Vec<Vec<u8>>,
    pub public_key: Vec<u8>,
    pub mode: u64,
    pub more_body: Vec<u8>,
    pub more_raw: Vec<u8>,
    /// In place of the right one.
    pub signatures: Option<Vec<Vec<u8>>>,
}

impl Draft {
    /// A good one: 500,000 gas at 10 uallo.
    pub fn new(wallet: &Wallet, number: u64, sequence: u64, message: Vec<u8>) -> Self {
        Self {
            wallet: wallet.clone(),
            chain_id: "allora-testnet-1".to_owned(),
            number,
            sequence,
            gas: 500_000,
            fee: vec![("uallo", "5000000".to_owned())],
            granter: String::new(),
            memo: String::new(),
            timeout: 0,
            messages: vec![message],
            public_key: wallet.public_key(),
            mode: 1,
            more_body: Vec::new(),
            more_raw: Vec::new(),
            signatures: None,
        }
    }

    fn body(&self) -> Vec<u8> {
        let messages: Vec<u8> = self.messages.iter().flat_map(|message| bytes(1, message)).collect();
        [messages, text(2, &self.memo), number(3, self.timeout), self.more_body.clone()].concat()
    }

    fn auth(&self) -> Vec<u8> {
        let key = any("/cosmos.crypto.secp256k1.PubKey", &bytes(1, &self.public_key));
        let mode = bytes(1, &number(1, self.mode));
        let signer = [bytes(1, &key), bytes(2, &mode), number(3, self.sequence)].concat();
        let coin = |(denom, amount): &(&str, String)| bytes(1, &[text(1, denom), text(2, amount)].concat());
        let coins: Vec<u8> = self.fee.iter().flat_map(coin).collect();
        let fee = [coins, number(2, self.gas), text(4, &self.granter)].concat();
        [bytes(1, &signer), bytes(2, &fee)].concat()
    }

    pub fn signature(&self) -> Vec<u8> {
        let (body, auth) = (self.body(), self.auth());
        self.wallet.sign(&[bytes(1, &body), bytes(2, &auth), text(3, &self.chain_id), number(4, self.number)].concat())
    }

    /// The bytes of the transaction.
    pub fn bytes(&self) -> Vec<u8> {
        let signatures = self.signatures.clone().unwrap_or_else(|| vec![self.signature()]);
        let signatures: Vec<u8> = signatures.iter().flat_map(|signature| bytes(3, signature)).collect();
        [bytes(1, &self.body()), bytes(2, &self.auth()), signatures, self.more_raw.clone()].concat()
    }

    /// The same with an empty signature, as it is simulated.
    pub fn unsigned(&self) -> Vec<u8> {
        Self { signatures: Some(vec![Vec::new()]), ..self.clone() }.bytes()
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

pub fn any(type_url: &str, value: &[u8]) -> Vec<u8> {
    [text(1, type_url), bytes(2, value)].concat()
}

/// The registration of a worker.
pub fn registration(version: u32, topic: u64, address: &str) -> Vec<u8> {
    let value = [text(1, address), number(4, topic), text(5, address)].concat();
    any(&format!("/emissions.v{version}.RegisterRequest"), &value)
}

/// A payload to be; each field may be made wrong.
#[derive(Clone)]
pub struct Payload {
    pub wallet: Wallet,
    pub sender: String,
    pub version: u32,
    pub topic: u64,
    pub nonce: i64,
    pub inner_topic: u64,
    pub inner_nonce: i64,
    pub inferer: String,
    /// The scalar; empty is left out.
    pub value: String,
    pub values: Vec<(&'static str, String)>,
    pub public_key: String,
    /// What is signed in place of the bundle.
    pub signed: Option<Vec<u8>>,
    pub signature: Option<Vec<u8>>,
    pub more_inference: Vec<u8>,
    pub has_inference: bool,
    pub forecast: Vec<u8>,
}

impl Payload {
    /// A good one of version 10 for topic 67.
    pub fn new(wallet: &Wallet, nonce: i64, value: &str) -> Self {
        Self {
            wallet: wallet.clone(),
            sender: wallet.address.clone(),
            version: 10,
            topic: 67,
            nonce,
            inner_topic: 67,
            inner_nonce: nonce,
            inferer: wallet.address.clone(),
            value: "0".to_owned(),
            values: vec![("y", value.to_owned())],
            public_key: HEXLOWER.encode(&wallet.public_key()),
            signed: None,
            signature: None,
            more_inference: Vec::new(),
            has_inference: true,
            forecast: Vec::new(),
        }
    }

    /// A good one of version 9.
    pub fn v9(wallet: &Wallet, nonce: i64, value: &str) -> Self {
        Self { version: 9, value: value.to_owned(), values: Vec::new(), ..Self::new(wallet, nonce, "0") }
    }

    pub fn bundle(&self) -> Vec<u8> {
        let labeled = |(label, value): &(&str, String)| bytes(7, &[text(1, label), text(2, value)].concat());
        let inference = [
            number(1, self.inner_topic),
            number(2, self.inner_nonce as u64),
            text(3, &self.inferer),
            text(4, &self.value),
            self.values.iter().flat_map(labeled).collect(),
            self.more_inference.clone(),
        ]
        .concat();
        let inference = if self.has_inference { bytes(1, &inference) } else { Vec::new() };
        [inference, self.forecast.clone()].concat()
    }

    pub fn message(&self) -> Vec<u8> {
        let bundle = self.bundle();
        let signature =
            self.signature.clone().unwrap_or_else(|| self.wallet.sign(self.signed.as_ref().unwrap_or(&bundle)));
        let data = [
            text(1, &self.wallet.address),
            bytes(2, &number(1, self.nonce as u64)),
            number(3, self.topic),
            bytes(4, &bundle),
            bytes(5, &signature),
            text(6, &self.public_key),
        ]
        .concat();
        let value = [text(1, &self.sender), bytes(2, &data)].concat();
        any(&format!("/emissions.v{}.InsertWorkerPayloadRequest", self.version), &value)
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}
