//! Connections that are protected: to Kafka, to PostgreSQL and at the gateway, with authorities that
//! the tests make. What does not fit is refused, and told.

mod kafka;
mod postgres;
mod servers;
mod whole;
