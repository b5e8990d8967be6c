//! The dialect `command`: envelopes with an id, positions, and an account. Pure.
//!
//! `SUCCESS` says that the gateway's handler ran, and nothing about the order: what became of it stands inside. The public
//! gateway ignores the terminal's return code there and calls every order a success, so one without a ticket or a volume is
//! unknown. A position is closed by its ticket, and that is believed only once positions were read again.
//!
//! Nothing is remembered under an id: a repeated order trades again, and what became of one can only be seen in the positions.

use rust_decimal::Decimal;
use sentinel_actors::domain::account::{AccountKind, AccountReport, Stated};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Submission;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::Exits;
use super::dialect::{Dialect, IN_HUNDREDTHS, Talk};
use super::retcode::{Class, class, class_of_text, meaning};
use super::speech::{Reading, ReportsAccount, Speech, Terms, Unsendable};
use super::values::{
    cleaned, decimal, direction, filled_of, float, is_same_symbol, levels, object, price, req_id, two_decimals,
};

pub const DIALECT: Dialect = Dialect {
    name: "command",
    talk: Talk::Requests(&Command),
    reports_positions: true,
    closes_by_ticket: true,
    carries_exits: true,
    echoes_ids: true,
    asks_by_id: false,
    tells_account: true,
    has_quotes: false,
    evidence: &[Grade::PositionDelta],
    lots: IN_HUNDREDTHS,
    words: &[],
};

/// What the public gateway fills every order as while it only plays a terminal.
const STUB_TICKET: Ticket = Ticket(12_345);

/// More open positions than any account has.
const POSITIONS_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Command;

/// A reply that can be read.
#[derive(Debug, Deserialize)]
struct Reply {
    req_id: Value,
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    error: Value,
}

fn request(action: &str, id: Uuid, now: UtcMs, payload: &str) -> String {
    let time = float(Decimal::new(now.0, 3));
    format!(r#"{{"action":"{action}","req_id":"{id}","timestamp":{time},"payload":{payload}}}"#)
}

impl Speech for Command {
    /// The direction stands there twice, because gateways read it under different names and take BUY where they find none.
    fn order(&self, key: &IntentKey, order: &Order, terms: &Terms) -> Result<String, Unsendable> {
        let id = req_id(key);
        if let Role::Close(ticket) = order.role {
            return Ok(request("CLOSE_POSITION", id, terms.now, &format!(r#"{{"ticket":{ticket}}}"#)));
        }
        let side = direction(order.side);
        let [stop, target] = levels(order)?.map(float);
        let payload = format!(
            r#"{{"symbol":{},"type":"{side}","side":"{side}","volume":{},"price":0.0,"sl":{stop},"tp":{target}}}"#,
            Value::from(order.symbol.as_str()),
            two_decimals(order.volume_lots)?,
        );
        Ok(request("OPEN_ORDER", id, terms.now, &payload))
    }

    fn judge(&self, reply: &[u8], key: &IntentKey, order: &Order, _: Exits) -> Reading {
        match read(reply, req_id(key)) {
            Err(reading) => reading,
            Ok(reply) => match reply.about_another(order) {
                Some(why) => Reading::Stranger(why),
                None => Reading::Own { submission: reply.judge(order), ticket: reply.ticket() },
            },
        }
    }

    fn is_sound(&self, reply: &[u8], id: Uuid) -> bool {
        read(reply, id).is_ok()
    }

    fn reports(&self) -> Option<&dyn ReportsAccount> {
        Some(self)
    }
}

/// A reply to the request with this id.
fn read(bytes: &[u8], id: Uuid) -> Result<Reply, Reading> {
    let reply: Reply = object(bytes).map_err(Reading::Unreadable)?;
    match reply.req_id.as_str().map(str::parse::<Uuid>) {
        Some(Ok(stated)) if stated == id => Ok(reply),
        _ => {
            let stated = cleaned(&reply.req_id.to_string());
            Err(Reading::Stranger(format!("the reply is for another request, {stated}: {reply}")))
        }
    }
}

impl Reply {
    /// The ticket that it names, whatever it is worth.
    fn ticket(&self) -> Option<Ticket> {
        self.data["ticket"].as_u64().filter(|ticket| *ticket > 0).map(Ticket)
    }

    /// Why it is about another order although it has the id of this one.
    fn about_another(&self, order: &Order) -> Option<String> {
        let inside = |name: &str| self.data[name].as_str();
        let side = [inside("type"), inside("side")].into_iter().flatten().next();
        let other = [
            inside("symbol").filter(|stated| !is_same_symbol(stated, &order.symbol)),
            // A close may name the direction of the position or that of its own deal.
            side.filter(|stated| order.role == Role::Open && !stated.eq_ignore_ascii_case(order.side.code())),
        ];
        let stated = other.into_iter().flatten().next()?;
        Some(format!("the reply is about another order, '{}': {self}", cleaned(stated)))
    }

    fn judge(&self, order: &Order) -> Submission {
        let verdict = match self.status.as_str() {
            "SUCCESS" => self.inside(order),
            "ERROR" => self.refusal(&self.error),
            "PENDING" => Err("accepted, and not filled yet".to_owned()),
            _ => Err("the status is none of this dialect".to_owned()),
        };
        verdict.unwrap_or_else(|why| Submission::Unknown(format!("{why}: {self}")))
    }

    /// What the handler says about the order.
    fn inside(&self, order: &Order) -> Result<Submission, String> {
        match self.data["status"].as_str() {
            Some("ERROR") => self.refusal(&self.data["error"]),
            Some("SUCCESS" | "FILLED") => self.fill(order),
            Some("PENDING") => Err("accepted, and not filled yet".to_owned()),
            _ => Err("nothing inside says what became of the order".to_owned()),
        }
    }

    fn fill(&self, order: &Order) -> Result<Submission, String> {
        if let Some(retcode) = self.retcode() {
            match class(retcode, &self.text()) {
                Class::Done | Class::Partial => {}
                Class::Refused { .. } => return self.refusal(&self.data["error"]),
                Class::Placed | Class::Unknown => {
                    return Err("the return code leaves open what became of the order".to_owned());
                }
            }
        }
        let ticket = self.ticket().ok_or("an order that is said to be filled comes without a ticket")?;
        let stated = &self.data["volume"];
        let volume_lots = match order.role {
            // Which volume closed is seen in the positions.
            Role::Close(_) if stated.is_null() => order.volume_lots,
            _ => filled_of(stated, order.volume_lots)?,
        };
        let text = match ticket {
            STUB_TICKET => format!("{self}, which is what this gateway's stub mode answers to every order"),
            _ => self.to_string(),
        };
        Ok(Submission::Acked(Fill { ticket, volume_lots, price: price(&self.data["price"]), text }.into()))
    }

    fn refusal(&self, error: &Value) -> Result<Submission, String> {
        if self.ticket().is_some() {
            return Err("a refusal comes with a ticket".to_owned());
        }
        let code = self.retcode();
        let error = error.as_str().unwrap_or_default();
        match code.map_or_else(|| class_of_text(error), |code| class(code, error)) {
            Class::Refused { lasting } => Ok(Submission::Rejected { code, text: self.to_string(), lasting }),
            _ => Err("the error leaves open what became of the order".to_owned()),
        }
    }

    fn retcode(&self) -> Option<i64> {
        self.data["retcode"].as_i64()
    }

    /// The gateway's own words.
    fn text(&self) -> String {
        let texts = [&self.error, &self.data["error"]];
        texts.into_iter().filter_map(Value::as_str).collect::<Vec<_>>().join("; ")
    }
}

/// For people: both statuses, the meaning of the code, and the gateway's own words.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&cleaned(&self.status))?;
        if let Some(inside) = self.data["status"].as_str() {
            write!(f, ", inside {}", cleaned(inside))?;
        }
        if let Some(code) = self.retcode() {
            write!(f, ", {} ({code})", meaning(code))?;
        }
        if let Some(ticket) = self.ticket() {
            write!(f, ", ticket {ticket}")?;
        }
        let text = self.text();
        if text.is_empty() { Ok(()) } else { write!(f, ": {}", cleaned(&text)) }
    }
}

impl ReportsAccount for Command {
    fn positions_request(&self, id: Uuid, now: UtcMs) -> String {
        request("GET_POSITIONS", id, now, "{}")
    }

    fn read_positions(&self, reply: &[u8], id: Uuid) -> Result<Vec<Position>, String> {
        let reply = answered(reply, id)?;
        let Some(listed) = reply.data.as_array().filter(|listed| listed.len() <= POSITIONS_MAX) else {
            return Err(format!("there is no list of positions: {reply}"));
        };
        let unreadable = |entry: &Value| format!("a position cannot be read: {}", cleaned(&entry.to_string()));
        let positions = listed.iter().map(|entry| position(entry).ok_or_else(|| unreadable(entry)));
        let positions = positions.collect::<Result<Vec<Position>, String>>()?;
        let mut tickets: Vec<Ticket> = positions.iter().map(|position| position.ticket).collect();
        tickets.sort_unstable();
        match tickets.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two positions have the ticket {}", pair[0])),
            None => Ok(positions),
        }
    }

    fn account_request(&self, id: Uuid, now: UtcMs) -> String {
        request("GET_ACCOUNT_INFO", id, now, "{}")
    }

    fn read_account(&self, reply: &[u8], id: Uuid) -> Result<AccountReport, String> {
        let reply = answered(reply, id)?;
        if reply.data["balance"].is_null() || !reply.data["error"].is_null() {
            return Err(format!("the gateway does not tell the account: {reply}"));
        }
        let money = |name: &str| decimal(&reply.data[name]);
        Ok(AccountReport {
            balance: money("balance"),
            equity: money("equity"),
            used_margin: money("used_margin"),
            currency: reply.data["currency"].as_str().map(cleaned),
            kind: kind(&reply.data),
            server: server(&reply.data),
            ..AccountReport::SILENT
        })
    }
}

/// A reply to a question, whose handler ran.
fn answered(reply: &[u8], id: Uuid) -> Result<Reply, String> {
    let reply = read(reply, id).map_err(|reading| match reading {
        Reading::Stranger(why) | Reading::Unreadable(why) | Reading::Remembered(why) => why,
        Reading::Own { .. } => "it answers an order".to_owned(),
    })?;
    if reply.status == "SUCCESS" { Ok(reply) } else { Err(format!("the question was not answered: {reply}")) }
}

fn position(entry: &Value) -> Option<Position> {
    let side = entry["type"].as_str()?;
    Some(Position {
        ticket: entry["ticket"].as_u64().filter(|ticket| *ticket > 0).map(Ticket)?,
        symbol: entry["symbol"].as_str().filter(|symbol| !symbol.is_empty()).map(cleaned)?,
        side: [Side::Buy, Side::Sell].into_iter().find(|known| side.eq_ignore_ascii_case(known.code()))?,
        // Less the noise of a float.
        volume_lots: decimal(&entry["volume"])?.round_dp(8).normalize(),
        open_price: price(&entry["open_price"])?,
        opened_at: None,
    })
    .filter(|position| position.volume_lots > Decimal::ZERO)
}

/// The public gateway answers these two with constants, whatever the account is.
const CONSTANT_SERVER: &str = "UNKNOWN";
const CONSTANT: &str = "it is what the public gateway says of every account";

fn server(data: &Value) -> Stated<String> {
    match data["server_name"].as_str().map(cleaned) {
        None => Stated::Untold,
        Some(said) if said.is_empty() || said.eq_ignore_ascii_case(CONSTANT_SERVER) => {
            Stated::Doubtful { said, why: CONSTANT }
        }
        Some(said) => Stated::Believed(said),
    }
}

/// A kind is believed of a gateway that also knows its server.
fn kind(data: &Value) -> Stated<AccountKind> {
    let said = match data["trade_mode"].as_i64() {
        Some(0) => AccountKind::Demo,
        Some(1) => AccountKind::Contest,
        Some(2) => AccountKind::Real,
        _ => return Stated::Untold,
    };
    match server(data) {
        Stated::Believed(_) => Stated::Believed(said),
        _ => Stated::Doubtful { said, why: CONSTANT },
    }
}
