//! The gateway client: send, time out, retry, fall back, meter.
