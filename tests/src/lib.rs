//! Journeys of audit events through the functions. The tests are in `it/`; there is nothing here to use.
