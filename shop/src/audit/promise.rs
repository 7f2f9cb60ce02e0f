//! Every promise that the audit looks at, with its name and what it promises.

/// Defines the promises: each with its name in `--json` and what it promises.
macro_rules! promises {
    ($($promise:ident $name:literal $words:literal,)+) => {
        /// Every promise that the audit looks at, in the order of its report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Promise { $($promise,)+ }

        impl Promise {
            /// All promises.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$promise),+];

            /// The promise's name in `--json`, and what it promises.
            pub const fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$promise => ($name, $words),)+ }
            }
        }
    };
}

promises! {
    OutboxInKafka "outbox_in_kafka"
        "what was published lies in Kafka, byte for byte",
    VersionsGapFree "versions_gap_free"
        "each key's events are in order, without a gap",
    DuplicatesIdentical "duplicates_identical"
        "what lies in Kafka twice is the same twice",
    OnePartitionAKey "one_partition_a_key"
        "a key's events are all in one partition",
    VersionsAgree "versions_agree"
        "each state knows how many events were said about it",
    EndingsSaidOnce "endings_said_once"
        "each order's ending was said exactly once",
    HistoryAgrees "history_agrees"
        "each order's history holds what the topics hold, in order, and comes to the order",
    NothingMissed "nothing_missed"
        "each service has taken in every event that it had to hear",
    StockAgrees "stock_agrees"
        "what was ordered is sold where confirmed, not held where cancelled",
    MoneyAgrees "money_agrees"
        "paid in full where confirmed, nothing kept where cancelled",
    ProviderAgrees "provider_agrees"
        "the provider's own ledger says the same, one capture an order",
    CompensatedOnce "compensated_once"
        "stock and payment answered each cancelled order once",
    CustomersTold "customers_told"
        "of each ending the customer was told, or had no address",
    NothingStuck "nothing_stuck"
        "every open order waits for something that will come, and not too long",
    StockConserved "stock_conserved"
        "pieces on hand and sold are those received; none is sold twice",
    LedgerBalances "ledger_balances"
        "each account is the sum of its entries, the ledger sums to zero",
    NothingLeftOver "nothing_left_over"
        "no deadline, lease or call of what is over",
    NothingParked "nothing_parked"
        "no message was set aside",
    ContentsAgree "contents_agree"
        "each event, headers too, says what the states that said it hold",
    OrdersAgree "orders_agree"
        "status, sum and reason of each order follow from lines and answers",
    ReadModelAgrees "read_model_agrees"
        "the catalogue orders are checked against is the one for sale",
    HoldsEnd "holds_end"
        "money held for an order is held no longer than it",
    AnswersKept "answers_kept"
        "what a kept answer says was done is there, and once",
    NothingStopped "nothing_stopped"
        "no partition waits for somebody to say where to go on",
    NothingUnknown "nothing_unknown"
        "no event waits for a build that knows its type",
}
