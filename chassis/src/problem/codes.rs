//! Every code a problem may have, with its status and its title.

use std::fmt;

use axum::http::StatusCode;
use serde::{Serialize, Serializer};

macro_rules! codes {
    ($($status:literal { $($name:ident $text:literal $title:literal,)+ })+) => {
        /// The stable code of a kind of problem, by which clients decide what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($($name,)+)+ }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &[Code] = &[$($(Code::$name,)+)+];

            /// The code as text: `insufficient_inventory`.
            pub const fn as_str(self) -> &'static str {
                match self { $($(Code::$name => $text,)+)+ }
            }

            /// The title, which is the same for every problem with this code.
            pub const fn title(self) -> &'static str {
                match self { $($(Code::$name => $title,)+)+ }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                let status: u16 = match self { $($(Code::$name => $status,)+)+ };
                StatusCode::from_u16(status).expect("the table holds statuses")
            }
        }
    };
}

codes! {
    400 {
        MalformedJson "malformed_json" "Malformed JSON",
        BadHeader "bad_header" "Bad header",
        BadCursor "bad_cursor" "Bad cursor",
        BadParameter "bad_parameter" "Bad parameter",
        BadSignature "bad_signature" "Bad signature",
    }
    401 {
        Unauthenticated "unauthenticated" "Not authenticated",
        TokenExpired "token_expired" "Token expired",
    }
    402 {
        PaymentDeclined "payment_declined" "Payment declined",
    }
    403 {
        Forbidden "forbidden" "Forbidden",
    }
    404 {
        NotFound "not_found" "Not found",
    }
    405 {
        MethodNotAllowed "method_not_allowed" "Method not allowed",
    }
    409 {
        InsufficientInventory "insufficient_inventory" "Insufficient inventory",
        PriceChanged "price_changed" "Price changed",
        InsufficientFunds "insufficient_funds" "Insufficient funds",
        AccountExists "account_exists" "Account exists",
        NotAmendable "not_amendable" "Not amendable",
        NotCancellable "not_cancellable" "Not cancellable",
        NotShippable "not_shippable" "Not shippable",
        NotRefundable "not_refundable" "Not refundable",
        RefundRefused "refund_refused" "Refund refused",
        AlreadyPaid "already_paid" "Already paid",
        NotPayable "not_payable" "Not payable",
        HoldExists "hold_exists" "Hold exists",
        HoldCaptured "hold_captured" "Hold captured",
        StockReserved "stock_reserved" "Stock reserved",
        UnexpectedCount "unexpected_count" "Unexpected count",
    }
    412 {
        Stale "stale" "Stale",
    }
    413 {
        BodyTooLarge "body_too_large" "Body too large",
    }
    414 {
        UriTooLong "uri_too_long" "URI too long",
    }
    415 {
        UnsupportedMediaType "unsupported_media_type" "Unsupported media type",
    }
    422 {
        UnknownField "unknown_field" "Unknown field",
        MissingField "missing_field" "Missing field",
        InvalidValue "invalid_value" "Invalid value",
        UnknownProduct "unknown_product" "Unknown product",
        AmountNotPositive "amount_not_positive" "Amount not positive",
        TooManyDecimals "too_many_decimals" "Too many decimals",
        UnknownCurrency "unknown_currency" "Unknown currency",
        DuplicateLine "duplicate_line" "Duplicate line",
        UnknownTemplate "unknown_template" "Unknown template",
        CardNumberRefused "card_number_refused" "Card number refused",
        IdempotencyKeyReused "idempotency_key_reused" "Idempotency key reused",
        UnknownPaymentMethod "unknown_payment_method" "Unknown payment method",
    }
    429 {
        RateLimited "rate_limited" "Rate limited",
    }
    431 {
        HeadersTooLarge "headers_too_large" "Headers too large",
    }
    500 {
        Internal "internal" "Internal error",
    }
    503 {
        Overloaded "overloaded" "Overloaded",
        CircuitOpen "circuit_open" "Circuit open",
    }
}

impl Code {
    /// The code with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}
