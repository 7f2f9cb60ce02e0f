"""Counts the confirmed orders of each customer, each order once, whatever comes twice."""

import os
import sqlite3
import sys

from confluent_kafka import Consumer
from shop.orders.v1.events_pb2 import OrderEvent

db = sqlite3.connect(os.environ["DATABASE"])
db.execute("create table if not exists inbox (event_id text primary key)")
db.execute("create table if not exists customers (id text primary key, orders int not null)")
kafka = Consumer({
    "bootstrap.servers": os.environ["KAFKA_BROKERS"],
    "group.id": "loyalty-in-python",
    "auto.offset.reset": "earliest",
    "enable.auto.offset.store": False,
    "session.timeout.ms": 6000,
})
kafka.subscribe(["shop.orders.v1"])
while True:
    message = kafka.poll(1.0)
    if message is None:
        continue
    if message.error():
        # The client mends its connections by itself.
        print(message.error(), file=sys.stderr)
        continue
    headers = dict(message.headers() or [])
    if headers.get("ce_type") == b"shop.orders.v1.OrderConfirmed":
        # What cannot be read or kept ends the program; its next start begins with it.
        order = OrderEvent.FromString(message.value()).order_confirmed
        with db:  # one transaction
            admit = "insert into inbox values (?) on conflict do nothing"
            if db.execute(admit, [headers["ce_id"].decode()]).rowcount == 1:
                count = """insert into customers values (?, 1)
                    on conflict (id) do update set orders = orders + 1"""
                db.execute(count, [order.customer_id])
    # Kafka learns of it after the database has it.
    kafka.store_offsets(message)
