//! The return codes that the gateway answers, with their meaning. Source: the MQL5 reference, "Return Codes of the Trade
//! Server"; the negative ones are the gateway's own. Nothing here decides anything.

/// Accepted by the broker, not filled.
pub const PLACED: i64 = 10_008;
/// Filled whole.
pub const DONE: i64 = 10_009;
/// Filled in part; the rest is cancelled.
pub const DONE_PARTIALLY: i64 = 10_010;
/// The request makes no sense to the terminal, for example a symbol that it does not have.
pub const INVALID: i64 = 10_013;
/// The volume cannot be traded.
pub const INVALID_VOLUME: i64 = 10_014;
/// The price cannot be traded at.
pub const INVALID_PRICE: i64 = 10_015;
/// A stop or target lies on the wrong side of the market.
pub const INVALID_STOPS: i64 = 10_016;
/// Nothing is known about the price.
pub const NO_QUOTES: i64 = 10_021;
/// There is no such open position.
pub const POSITION_CLOSED: i64 = 10_036;
/// No further position may be opened.
pub const POSITION_LIMIT: i64 = 10_040;

/// The message is no JSON object, or (with a timeout text) what became of the order is not known.
pub const PARSE: i64 = -1;
pub const MISSING: i64 = -2;
/// A field's value is out of range.
pub const RANGE: i64 = -3;

#[must_use]
pub const fn text(code: i64) -> &'static str {
    match code {
        -1 => "Order status unknown: timeout at the terminal",
        -2 => "Field missing",
        -3 => "Field out of range",
        -4 => "Internal error or timeout",
        10_004 => "Requote",
        10_006 => "Request rejected",
        10_007 => "Request cancelled by trader",
        PLACED => "Order placed",
        DONE => "Request completed",
        DONE_PARTIALLY => "Only part of the request was completed",
        10_011 => "Request processing error",
        10_012 => "Request cancelled by timeout",
        INVALID => "Invalid request",
        INVALID_VOLUME => "Invalid volume in the request",
        INVALID_PRICE => "Invalid price in the request",
        INVALID_STOPS => "Invalid stops in the request",
        10_017 => "Trade is disabled",
        10_018 => "Market is closed",
        10_019 => "There is not enough money to complete the request",
        10_020 => "Prices changed",
        NO_QUOTES => "There are no quotes to process the request",
        10_022 => "Invalid order expiration date in the request",
        10_023 => "Order state changed",
        10_024 => "Too frequent requests",
        10_025 => "No changes in request",
        10_026 => "Autotrading disabled by server",
        10_027 => "Autotrading disabled by client terminal",
        10_028 => "Request locked for processing",
        10_029 => "Order or position frozen",
        10_030 => "Invalid order filling type",
        10_031 => "No connection with the trade server",
        10_032 => "Operation is allowed only for live accounts",
        10_033 => "The number of pending orders has reached the limit",
        10_034 => "The volume of orders and positions for the symbol has reached the limit",
        10_035 => "Incorrect or prohibited order type",
        POSITION_CLOSED => "Position with the specified identifier has already been closed",
        10_038 => "A close volume exceeds the current position volume",
        10_039 => "A close order already exists for the position",
        POSITION_LIMIT => "The number of open positions has reached the limit",
        10_041 => "The pending order activation request is rejected, the order is cancelled",
        10_042 => "Only long positions are allowed",
        10_043 => "Only short positions are allowed",
        10_044 => "Only position closing is allowed",
        10_045 => "Position closing is allowed only by FIFO rule",
        10_046 => "Opposite positions on a single symbol are disabled",
        _ => "Unknown return code",
    }
}
