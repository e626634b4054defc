//! The text of one audit event, in the shape of ListEvents.

use jiff::{SignedDuration, Timestamp};

use super::json::{Writer, pretty};
use super::material::{KINDS, Kind, NASTY};
use super::{EventNumber, Generator};
use crate::rng::Rng;
use crate::verify::http_date;

/// How an event hurts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hurt {
    ResourceName,
    Tags,
    PrincipalName,
    HeaderName,
    Numbers,
    Details,
    KeysByCase,
    Long,
    NewFields,
}

const HURTS: [Hurt; 9] = [
    Hurt::ResourceName,
    Hurt::Tags,
    Hurt::PrincipalName,
    Hurt::HeaderName,
    Hurt::Numbers,
    Hurt::Details,
    Hurt::KeysByCase,
    Hurt::Long,
    Hurt::NewFields,
];

impl Generator {
    /// The bytes of event `index`.
    pub(crate) fn render(&self, index: u32) -> String {
        let drawn = self.draw(index);
        let (mut rng, at) = (drawn.rng, drawn.event_time);
        let rng = &mut rng;
        let Kind(source, prefix, name, method, path, statuses, kind) = &KINDS[rng.index(KINDS.len())];
        let (compartment, compartment_name) = &self.compartments[drawn.place.compartment as usize];
        let user = &self.users[rng.index(self.users.len())];
        let (resource, resource_name) = self.resource(rng, kind, drawn.place.region);
        let status = statuses[rng.index(statuses.len())];
        let request_id = format!("{}/{}/{}", hex(rng), hex(rng), hex(rng));
        let responded = at.checked_add(SignedDuration::from_millis(3 + rng.below(397) as i64)).unwrap_or(at);
        let is_lean = rng.chance(0.8);
        let is_write = matches!(*method, "POST" | "PUT" | "DELETE");
        let hurt = rng.chance(self.hostile).then(|| HURTS[rng.index(HURTS.len())]);
        let nasty: String = (0..=rng.below(4)).map(|_| NASTY[rng.index(NASTY.len())]).collect();
        let hurts = |kind| hurt == Some(kind);

        let mut out = Writer::new(rng.chance(if hurt.is_some() { 0.3 } else { 0.02 }));
        out.raw("{");
        out.pair("eventType", &format!("{prefix}.{name}")).pair("cloudEventsVersion", "0.1");
        out.pair("eventTypeVersion", "2.0").pair("source", source);
        out.pair("eventId", &EventNumber::Generated(index).id(self.seed)).pair("eventTime", &time(at));
        out.pair("contentType", "application/json").raw("\"data\":{");
        if rng.chance(0.3) {
            out.pair("eventGroupingId", &format!("csid{:012x}/{}", rng.below(1 << 48), hex(rng).to_lowercase()));
        } else {
            out.json("eventGroupingId", "null");
        }
        out.pair("eventName", name).pair("compartmentId", compartment).pair("compartmentName", compartment_name);
        let shown = if hurts(Hurt::ResourceName) {
            nasty.as_str()
        } else if rng.chance(0.8) {
            &resource_name
        } else {
            ""
        };
        out.pair("resourceName", shown);
        if path.contains("{r}") || is_write {
            out.pair("resourceId", &resource);
        } else {
            out.json("resourceId", "null");
        }
        out.pair("availabilityDomain", ["AD1", "AD2", "AD3"][rng.index(3)]);
        self.tags(&mut out, rng, hurts(Hurt::Tags).then_some(nasty.as_str()), user.name);

        out.raw("\"identity\":{");
        out.pair("principalName", if hurts(Hurt::PrincipalName) { &nasty } else { user.name });
        out.pair("principalId", &user.id).pair("authType", ["natv", "fed", "instance", "resource"][rng.index(4)]);
        out.json("callerName", "null").json("callerId", "null").pair("tenantId", &self.tenancy);
        out.pair("ipAddress", &user.address);
        if is_lean {
            out.json("credentials", "null")
        } else {
            out.pair("credentials", &user.credentials)
        };
        out.pair("userAgent", user.agent);
        if rng.chance(0.25) {
            out.pair("consoleSessionId", &format!("csid{:024x}", u128::from(rng.next()) << 32));
        } else {
            out.json("consoleSessionId", "null");
        }
        out.close("},");

        let path = path.replace("{r}", &resource).replace("{n}", &self.namespace);
        let path = path.replace("{k}", &format!("{:02}", rng.below(64)));
        out.raw("\"request\":{").pair("id", &request_id).pair("path", &path).pair("action", method);
        if *method == "GET" && !is_lean {
            out.raw("\"parameters\":{\"compartmentId\":[").string(compartment).raw("],\"limit\":[\"100\"]},");
        } else {
            out.raw("\"parameters\":{},");
        }
        out.raw("\"headers\":{");
        if !is_lean {
            for (key, value) in [
                ("Accept", "application/json"),
                ("User-Agent", user.agent),
                ("opc-request-id", &request_id),
                ("X-Real-IP", &user.address),
                ("Date", &http_date(at)),
            ] {
                header(&mut out, key, value);
            }
            if rng.chance(0.15) {
                header(&mut out, "opc-principal", &self.principal(user, at));
            }
        }
        if hurts(Hurt::HeaderName) {
            header(&mut out, &nasty, NASTY[rng.index(NASTY.len())]);
        }
        if hurts(Hurt::KeysByCase) || (!is_lean && rng.chance(0.05)) {
            header(&mut out, "accept", "*/*");
            header(&mut out, "ACCEPT", &nasty);
        }
        out.close("}},");

        let message = if status.starts_with('2') {
            format!("{resource_name} {name} succeeded")
        } else {
            let code = ["NotAuthorizedOrNotFound", "TooManyRequests", "InvalidParameter"][rng.index(3)];
            format!("{resource_name} {name} failed with response '{code}'")
        };
        out.raw("\"response\":{").pair("status", status).pair("responseTime", &time(responded)).raw("\"headers\":{");
        if !is_lean && rng.chance(0.6) {
            header(&mut out, "Content-Type", "application/json");
            header(&mut out, "opc-request-id", &request_id);
            header(&mut out, "Content-Length", &(2 + rng.below(8998)).to_string());
        }
        out.close("},").json("payload", "{}").pair("message", &message).close("},");

        out.raw("\"stateChange\":");
        if hurts(Hurt::Numbers) {
            out.raw(r#"{"previous":null,"current":{"deep":[[[{"v":"#).string(&nasty);
            out.raw(r#"}]]],"num":[0,-0.0,1e-7,1.5E+300,12345678901234567890,-1,0.10000000000000000555]}},"#);
        } else if is_write && rng.chance(0.4) {
            let state = ["ACTIVE", "UPDATING", "TERMINATING"][rng.index(3)];
            out.raw("{\"previous\":{\"lifecycleState\":\"ACTIVE\",\"displayName\":").string(&resource_name);
            out.raw("},\"current\":{").pair("lifecycleState", state).pair("displayName", &resource_name);
            out.pair("timeUpdated", &time(responded)).close("}},");
        } else {
            out.raw("{\"previous\":{},\"current\":{}},");
        }
        out.raw("\"additionalDetails\":");
        if hurts(Hurt::Details) {
            out.raw("{\"nested\":{\"a\":{\"b\":{\"c\":{\"d\":").string(&nasty);
            out.raw("}}}},\"empty\":[{},[],\"\",null,true,false]},");
        } else if hurts(Hurt::Long) {
            let times = 1 + rng.below(60_000) as usize / nasty.len().max(1);
            out.raw("{\"text\":").string(&nasty.repeat(times)).raw("},");
        } else if *kind == "instance" {
            out.raw(r#"{"imageId":"null","shape":"VM.Standard.E4.Flex","volumeId":"null"},"#);
        } else {
            out.raw("{},");
        }
        if hurts(Hurt::NewFields) || rng.chance(0.05) {
            out.pair("message", &message)
                .raw("\"securityAttributes\":{\"zpr\":{\"app\":{\"value\":\"web\",\"mode\":\"enforce\"}}},");
            out.raw("\"systemTags\":{\"orcl-cloud\":{\"free-tier-retained\":\"true\"}},");
        }
        out.close("}");
        if hurts(Hurt::NewFields) {
            out.raw(",\"extensions\":{\"v\":[null,{\"later\":").string(&nasty).raw("}]}");
        }
        out.close("}");
        let json = out.finish();
        if rng.chance(0.005) { pretty(&json, [" ", "  ", "    ", "\t"][rng.index(4)]) } else { json }
    }

    /// One of 128 resources of a kind in a region.
    fn resource(&self, rng: &mut Rng, kind: &str, region: u32) -> (String, String) {
        let number = rng.below(128);
        let salt = kind.bytes().fold(u64::from(region) + 1, |salt, byte| salt.wrapping_mul(257) + u64::from(byte));
        let unique = Rng::of(self.seed ^ salt, u64::MAX - 3 - number).base32(54);
        let region = self.region_keys.get(region as usize).map_or("", String::as_str);
        (format!("ocid1.{kind}.oc1.{region}.anuwcl{unique}"), format!("{kind}-{number:04}"))
    }

    fn tags(&self, out: &mut Writer, rng: &mut Rng, nasty: Option<&str>, user: &str) {
        if let Some(nasty) = nasty {
            out.raw("\"freeformTags\":{").pair(nasty, NASTY[rng.index(NASTY.len())]);
            out.raw("\"x\":[").string(nasty).raw(",{").string(nasty).raw(":null}]},");
        } else if rng.chance(0.3) {
            out.raw("\"freeformTags\":{").pair("env", ["prod", "dev", "test"][rng.index(3)]).close("},");
        } else {
            out.json("freeformTags", if rng.chance(0.2) { "null" } else { "{}" });
        }
        if rng.chance(0.2) {
            out.raw("\"definedTags\":{\"Oracle-Tags\":{").pair("CreatedBy", user);
            out.pair("CreatedOn", "2024-06-01T08:15:30.123Z").close("}},");
        } else {
            out.json("definedTags", "{}");
        }
    }

    /// The principal of a signed call travels as JSON inside a JSON string; redaction has to look in there.
    fn principal(&self, user: &super::User, at: Timestamp) -> String {
        let mut claims = Writer::new(false);
        claims.raw("{").pair("tenantId", &self.tenancy).pair("subjectId", &user.id).raw("\"claims\":[");
        let signature = format!(
            "Signature headers=\"date (request-target) host\",keyId=\"{}\",algorithm=\"rsa-sha256\",version=\"1\"",
            user.credentials
        );
        let date = http_date(at);
        for (key, value, issuer) in
            [("pstype", "natv", "authService.oracle.com"), ("h_date", &date, "h"), ("authorization", &signature, "h")]
        {
            claims.raw("{").pair("key", key).pair("value", value).pair("issuer", issuer).close("},");
        }
        claims.close("]}");
        claims.finish()
    }
}

pub(super) fn header(out: &mut Writer, name: &str, value: &str) {
    out.string(name).raw(":[").string(value).raw("],");
}

pub(super) fn hex(rng: &mut Rng) -> String {
    format!("{:016X}{:016X}", rng.next(), rng.next())
}

/// RFC 3339 with milliseconds, as the service writes it.
pub(crate) fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}
