//! The event that a read of the trail leaves in it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::json::Writer;
use super::record::{header, hex, time};
use super::{EventNumber, Generator};
use crate::rng::Rng;
use crate::verify::{Caller, PrincipalKind};

/// A read of the trail, as far as its event shows it.
#[derive(Debug)]
pub(crate) struct OwnRead<'a> {
    pub(crate) at: Timestamp,
    pub(crate) compartment: &'a str,
    pub(crate) compartment_name: &'a str,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) caller: &'a Caller,
    pub(crate) user_agent: &'a str,
}

impl Generator {
    /// The bytes of the event that a read of the trail leaves in it.
    pub(crate) fn render_own_read(&self, number: u32, read: &OwnRead<'_>) -> String {
        let mut rng = Rng::of(self.seed ^ 0x6f77_6e72_6561_6473, u64::from(number));
        let rng = &mut rng;
        let request_id = format!("{}/{}/{}", hex(rng), hex(rng), hex(rng));
        let caller = read.caller;
        let auth_type = match caller.kind {
            PrincipalKind::User => "natv",
            PrincipalKind::Resource | PrincipalKind::Anonymous => "resource",
        };
        let mut out = Writer::new(false);
        out.raw("{").pair("eventType", "com.oraclecloud.Audit.ListEvents").pair("cloudEventsVersion", "0.1");
        out.pair("eventTypeVersion", "2.0").pair("source", "Audit");
        out.pair("eventId", &EventNumber::OwnRead(number).id(self.seed)).pair("eventTime", &time(read.at));
        out.pair("contentType", "application/json").raw("\"data\":{").json("eventGroupingId", "null");
        out.pair("eventName", "ListEvents").pair("compartmentId", read.compartment);
        out.pair("compartmentName", read.compartment_name).pair("resourceName", "").json("resourceId", "null");
        out.pair("availabilityDomain", "AD1").json("freeformTags", "null").json("definedTags", "null");
        out.raw("\"identity\":{").pair("principalName", &caller.name).pair("principalId", &caller.principal);
        out.pair("authType", auth_type).json("callerName", "null").json("callerId", "null");
        out.pair("tenantId", &caller.tenancy).pair("ipAddress", "127.0.0.1").pair("credentials", &caller.credentials);
        out.pair("userAgent", read.user_agent).json("consoleSessionId", "null").close("},");
        out.raw("\"request\":{").pair("id", &request_id).pair("path", "/20190901/auditEvents").pair("action", "GET");
        out.raw("\"parameters\":{");
        for (key, value) in [
            ("compartmentId", Cow::Borrowed(read.compartment)),
            ("startTime", read.start.to_string().into()),
            ("endTime", read.end.to_string().into()),
        ] {
            header(&mut out, key, &value);
        }
        out.close("},").raw("\"headers\":{");
        header(&mut out, "Accept", "application/json");
        header(&mut out, "opc-request-id", &request_id);
        out.close("}},").raw("\"response\":{").pair("status", "200").pair("responseTime", &time(read.at));
        out.json("headers", "{}").json("payload", "{}").json("message", "null").close("},");
        out.raw("\"stateChange\":{\"previous\":null,\"current\":null},\"additionalDetails\":{}}}");
        out.finish()
    }
}
