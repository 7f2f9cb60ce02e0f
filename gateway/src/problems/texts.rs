//! The texts of the problem pages, for each code.

use chassis::Code;

use super::Text;

/// The texts for `code`: cause, what to do, and the detail of an example.
pub(super) fn of(code: Code) -> Option<Text> {
    let (_, cause, fix, detail) = TEXTS.iter().find(|text| text.0 == code)?;
    Some(Text { cause, fix, detail })
}

/// A row for each code.
const TEXTS: &[(Code, &str, &str, &str)] = &[
    (
        Code::MalformedJson,
        "The body is not JSON, is nested too deeply, or names a member twice.",
        "Send one JSON object in UTF-8; the detail names the byte where reading \
             stopped.",
        "not JSON at byte 17: a member is there twice",
    ),
    (
        Code::BadHeader,
        "A request header cannot be used as it is.",
        "Correct the header that the detail names.",
        "an Idempotency-Key has 1 to 255 visible ASCII characters, and there is one",
    ),
    (
        Code::BadCursor,
        "The cursor was not given out by this list.",
        "Take next_cursor from the page before, unchanged, or leave it out to begin \
             anew.",
        "the cursor is not one of this list",
    ),
    (
        Code::BadParameter,
        "A query parameter is unknown, repeated or out of bounds.",
        "Correct the parameter that the detail names.",
        "the parameter limit has to be a number from 1 to 200",
    ),
    (
        Code::BadSignature,
        "The event's signature is missing, too old, or not made with a secret that is set.",
        "At the provider, compare the endpoint's secret with the one that is set here.",
        "no signature fits the body",
    ),
    (
        Code::Unauthenticated,
        "It is not known who calls.",
        "Send a valid token: Authorization: Bearer.",
        "who calls is not known",
    ),
    (
        Code::TokenExpired,
        "The token was valid once.",
        "Get a new token and repeat the request.",
        "the token expired a minute ago",
    ),
    (
        Code::PaymentDeclined,
        "The payment's provider, or the account, said no.",
        "Look at payment.decline, and pay in another way.",
        "the payment was declined: card_declined",
    ),
    (
        Code::Forbidden,
        "The caller may not do this.",
        "Call as somebody who may.",
        "only staff may do this",
    ),
    (
        Code::NotFound,
        "Nothing is there, or nothing that this caller may see.",
        "Check the path and the id: ids are lower-case UUIDs.",
        "nothing is at /v1/order",
    ),
    (
        Code::MethodNotAllowed,
        "The path exists, and does not know this method.",
        "Use one of the methods in the Allow header.",
        "the path does not know this method",
    ),
    (
        Code::InsufficientInventory,
        "Less is available than the order wants.",
        "Order less, or later; errors tells how many there are.",
        "insufficient inventory: 1000 of product-789 wanted, 12 available",
    ),
    (
        Code::PriceChanged,
        "The price that the order names is no longer that of the catalogue.",
        "Show the buyer the new price, which the answer has, and order again.",
        "the price of product-123 is 31.00 USD, not 29.99 USD",
    ),
    (
        Code::InsufficientFunds,
        "The account has less than is wanted.",
        "Deposit money, or take less.",
        "10.00 USD wanted, 4.50 USD available",
    ),
    (
        Code::AccountExists,
        "The customer has an account already.",
        "Use it.",
        "customer-456 has an account",
    ),
    (
        Code::NotAmendable,
        "It can no longer be changed: money was taken, or it has ended.",
        "Cancel it and order anew.",
        "the order is confirmed",
    ),
    (
        Code::NotCancellable,
        "The order is on its way, or there.",
        "Ask for a return.",
        "the order is shipped",
    ),
    (
        Code::NotShippable,
        "Stock and money are not both settled, or it was shipped before.",
        "Wait until the order is confirmed.",
        "the order is payment_pending",
    ),
    (
        Code::NotRefundable,
        "More would go back than was taken.",
        "Refund at most what is captured and not refunded yet.",
        "60.00 USD wanted, 59.98 USD can go back",
    ),
    (
        Code::RefundRefused,
        "The payment provider will not give this money back, however often it is asked.",
        "Settle it with the provider, then ask again, or pay the customer another way.",
        "the refund was refused: the charge is disputed",
    ),
    (
        Code::AlreadyPaid,
        "The order's money was taken before.",
        "Nothing: it is paid.",
        "the order is paid",
    ),
    (
        Code::NotPayable,
        "The order is cancelled, so nothing is due.",
        "Place a new order.",
        "the order is cancelled",
    ),
    (
        Code::HoldExists,
        "This order holds another amount already.",
        "Release that hold first.",
        "20.00 USD are held for this order",
    ),
    (
        Code::HoldCaptured,
        "The order was paid with the hold.",
        "Refund the payment instead.",
        "the hold was captured",
    ),
    (
        Code::StockReserved,
        "So much cannot be taken away: a part is promised to orders.",
        "Take away less, or wait until the orders have ended.",
        "12 on hand, 8 of them reserved",
    ),
    (
        Code::UnexpectedCount,
        "As many parked keys as you expected are not there: some were released, or more stopped, \
         since you counted them.",
        "Look at the list and count again: the same request without <code>expected</code> tells \
         how many there are.",
        "12 keys are parked, and 10 were expected",
    ),
    (
        Code::Stale,
        "It has changed since the version that If-Match names.",
        "Read it again, and decide again.",
        "it has changed since the version that If-Match names",
    ),
    (
        Code::BodyTooLarge,
        "The body is larger than 64 KiB.",
        "Send less in one request.",
        "the body is larger than 65536 bytes",
    ),
    (
        Code::UriTooLong,
        "Path and query together are longer than the gateway takes: 8 KiB, unless it is set \
         otherwise.",
        "Send a shorter query; a cursor goes back unchanged.",
        "path and query are longer than 8192 bytes",
    ),
    (
        Code::UnsupportedMediaType,
        "The body is not declared as JSON.",
        "Send Content-Type: application/json.",
        "the body has to be application/json",
    ),
    (
        Code::UnknownField,
        "The body has a member that means nothing here.",
        "Leave it out, or correct its name; errors has its place.",
        "colour: is not known here",
    ),
    (
        Code::MissingField,
        "The body lacks a member that has to be there.",
        "Add it; errors has its place.",
        "customer_id: is missing",
    ),
    (
        Code::InvalidValue,
        "A value is of the wrong kind, or beyond its limits.",
        "Correct the values in errors.",
        "items/0/quantity: has to be a whole number from 1 to 10000",
    ),
    (
        Code::UnknownProduct,
        "The catalogue has no such product.",
        "Check the SKU; errors has its place.",
        "there is no product-999",
    ),
    (
        Code::AmountNotPositive,
        "An amount has to be more than zero.",
        "Send a larger amount.",
        "amount: has to be more than 0",
    ),
    (
        Code::TooManyDecimals,
        "The amount has more decimals than its currency.",
        "Write it with the currency's decimals, such as 59.98 for USD.",
        "amount: USD has 2 decimals",
    ),
    (
        Code::UnknownCurrency,
        "The currency is not one of ISO 4217.",
        "Write its code of three letters, such as USD.",
        "currency: XXY is not known",
    ),
    (
        Code::DuplicateLine,
        "The same product is in two lines.",
        "Add the quantities up in one line.",
        "items/1/sku: product-123 is in another line",
    ),
    (
        Code::UnknownTemplate,
        "There is no such template.",
        "Choose one of GET /v1/templates.",
        "template: order_confirmed is not known",
    ),
    (
        Code::CardNumberRefused,
        "Only the simulator's test numbers are taken here, and nothing of this one \
             was kept.",
        "Send a token instead of a card number.",
        "payment_method/card_number: is refused",
    ),
    (
        Code::IdempotencyKeyReused,
        "The Idempotency-Key was used before, with another request.",
        "Make a new key for each new request.",
        "the key belongs to another request",
    ),
    (
        Code::UnknownPaymentMethod,
        "There is no such way to pay.",
        "Use wallet, card or deferred.",
        "payment/method: cheque is not known",
    ),
    (
        Code::RateLimited,
        "Too many requests came from this caller.",
        "Wait for the seconds in Retry-After.",
        "too many requests",
    ),
    (
        Code::HeadersTooLarge,
        "The request has more headers, or more bytes of them, than the gateway takes: 64 and \
         16 KiB, unless it is set otherwise.",
        "Send fewer or shorter headers.",
        "there are more than 64 headers, or 16384 bytes of them",
    ),
    (
        Code::Internal,
        "A fault of the shop's own.",
        "Repeat the request later with the same Idempotency-Key; tell the operators \
             the trace_id.",
        "something went wrong here; the trace id leads to what",
    ),
    (
        Code::Overloaded,
        "A service has too much to do, or did not answer in time.",
        "Repeat the request after the seconds in Retry-After, with the same \
             Idempotency-Key.",
        "order-svc did not answer in time",
    ),
    (
        Code::CircuitOpen,
        "Half of a service's last answers failed, and it is left alone for a moment.",
        "Repeat the request after the seconds in Retry-After; nothing was done.",
        "payment-svc does not answer; it is tried again soon",
    ),
];
