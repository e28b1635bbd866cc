"""Carries what is told of migrations to other systems: webhooks, files, NATS, Kafka, MQTT; and requests from there."""
