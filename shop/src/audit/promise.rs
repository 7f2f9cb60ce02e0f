//! Every promise that the audit looks at, with its name and what it promises.

/// Every promise that the audit looks at, in the order of its report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    OutboxInKafka,
    VersionsGapFree,
    DuplicatesIdentical,
    OnePartitionAKey,
    VersionsAgree,
    EndingsSaidOnce,
    HistoryAgrees,
    NothingMissed,
    StockAgrees,
    MoneyAgrees,
    ProviderAgrees,
    CompensatedOnce,
    CustomersTold,
    NothingStuck,
    StockConserved,
    LedgerBalances,
    NothingLeftOver,
    NothingParked,
    ContentsAgree,
    OrdersAgree,
    ReadModelAgrees,
    HoldsEnd,
    AnswersKept,
    NothingStopped,
    NothingUnknown,
}

impl Promise {
    pub const ALL: [Self; 25] = [
        Self::OutboxInKafka,
        Self::VersionsGapFree,
        Self::DuplicatesIdentical,
        Self::OnePartitionAKey,
        Self::VersionsAgree,
        Self::EndingsSaidOnce,
        Self::HistoryAgrees,
        Self::NothingMissed,
        Self::StockAgrees,
        Self::MoneyAgrees,
        Self::ProviderAgrees,
        Self::CompensatedOnce,
        Self::CustomersTold,
        Self::NothingStuck,
        Self::StockConserved,
        Self::LedgerBalances,
        Self::NothingLeftOver,
        Self::NothingParked,
        Self::ContentsAgree,
        Self::OrdersAgree,
        Self::ReadModelAgrees,
        Self::HoldsEnd,
        Self::AnswersKept,
        Self::NothingStopped,
        Self::NothingUnknown,
    ];

    /// Its name in `--json`, and what it promises.
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::OutboxInKafka => {
                ("outbox_in_kafka", "what was shipped lies in Kafka, byte for byte")
            }
            Self::VersionsGapFree => {
                ("versions_gap_free", "each key's events are in order, without a gap")
            }
            Self::DuplicatesIdentical => {
                ("duplicates_identical", "what lies in Kafka twice is the same twice")
            }
            Self::OnePartitionAKey => {
                ("one_partition_a_key", "a key's events are all in one partition")
            }
            Self::VersionsAgree => {
                ("versions_agree", "each state knows how many events were said about it")
            }
            Self::EndingsSaidOnce => {
                ("endings_said_once", "each order's ending was said exactly once")
            }
            Self::HistoryAgrees => {
                ("history_agrees", "each order's history holds what the topics hold, in order")
            }
            Self::NothingMissed => {
                ("nothing_missed", "each service has taken in every event that it had to hear")
            }
            Self::StockAgrees => (
                "stock_agrees",
                "what was ordered is sold where confirmed, not held where cancelled",
            ),
            Self::MoneyAgrees => {
                ("money_agrees", "paid in full where confirmed, nothing kept where cancelled")
            }
            Self::ProviderAgrees => {
                ("provider_agrees", "the provider's own ledger says the same, one capture an order")
            }
            Self::CompensatedOnce => {
                ("compensated_once", "stock and payment answered each cancelled order once")
            }
            Self::CustomersTold => {
                ("customers_told", "of each ending the customer was told, or had no address")
            }
            Self::NothingStuck => (
                "nothing_stuck",
                "every open order waits for something that will come, and not too long",
            ),
            Self::StockConserved => (
                "stock_conserved",
                "pieces on hand and sold are those received; none is sold twice",
            ),
            Self::LedgerBalances => (
                "ledger_balances",
                "each account is the sum of its entries, the ledger sums to zero",
            ),
            Self::NothingLeftOver => {
                ("nothing_left_over", "no deadline, lease or call of what is over")
            }
            Self::NothingParked => ("nothing_parked", "no message was set aside"),
            Self::ContentsAgree => (
                "contents_agree",
                "each event, headers too, says what the states that said it hold",
            ),
            Self::OrdersAgree => (
                "orders_agree",
                "status, sum and reason of each order follow from lines and answers",
            ),
            Self::ReadModelAgrees => (
                "read_model_agrees",
                "the catalogue orders are checked against is the one for sale",
            ),
            Self::HoldsEnd => ("holds_end", "money held for an order is held no longer than it"),
            Self::NothingStopped => {
                ("nothing_stopped", "no partition waits for somebody to say where to go on")
            }
            Self::NothingUnknown => {
                ("nothing_unknown", "no event waits for a build that knows its type")
            }
            Self::AnswersKept => ("answers_kept", "what a kept answer says was done is there"),
        }
    }
}
