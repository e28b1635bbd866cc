"""The whole system on this machine: a private RabbitMQ node and each service as a process."""
