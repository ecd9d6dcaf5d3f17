//! Does SQL give back exactly what real senders sent? The SDKs of Python and Node, compared record by record.
