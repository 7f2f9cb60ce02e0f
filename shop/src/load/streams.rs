//! `shop load --streams`: open streams of an order beside the load, to see what they cost it.

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use proto::Role;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Home, api::Api, seed, token};

/// As many streams as the gateway gives one caller by default.
const EACH: u32 = 100;

/// Streams of one order that waits for its payment, each read until it ends.
#[derive(Debug)]
pub(super) struct IdleStreams {
    api: Api,
    order: String,
    reading: JoinSet<anyhow::Result<()>>,
}

impl IdleStreams {
    /// Opens so many streams; each has shown the order as it is when this returns.
    pub(super) async fn open(home: &Home, count: u32) -> anyhow::Result<Self> {
        let api = Api::of(home)?;
        let lines = json!([{ "sku": seed::sku(1), "quantity": 1 }]);
        let order = json!({ "customer_id": seed::customer(1), "items": lines });
        let order = api.post("/v1/orders", &order).await?.ok()?;
        let order = format!("/v1/orders/{}", order["id"].as_str().context("an order has an id")?);
        let url = format!("{}{order}/stream", home.stack()?.gateway());
        let client = reqwest::Client::new();
        let open = async |n: u32| {
            let caller = token::of(home, &format!("watcher-{}", n / EACH), &[Role::Staff])?;
            let mut stream = client.get(&url).bearer_auth(caller).send().await?;
            if !stream.status().is_success() {
                bail!("stream {n} is refused: {}", stream.text().await?);
            }
            stream.chunk().await?;
            Ok(stream)
        };
        let mut reading = JoinSet::new();
        for mut stream in try_join_all((0..count).map(open)).await? {
            reading.spawn(async move {
                while stream.chunk().await?.is_some() {}
                Ok(())
            });
        }
        Ok(Self { api, order, reading })
    }

    /// Ends the order, and with it the streams; an error if one of them ended before.
    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        if let Some(ended) = self.reading.try_join_next() {
            ended??;
            bail!("a stream ended before its order");
        }
        self.api.delete(&self.order).await?.ok()?;
        while let Some(ended) = self.reading.join_next().await {
            ended??;
        }
        Ok(())
    }
}
