"""What every process shares: settings, logs, certificates; and, in ``services``, what a service under nameko is."""
