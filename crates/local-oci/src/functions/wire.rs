//! InvokeFunction and GetFunction as they are on the wire.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::answer::Answer;
use crate::call::Call;
use crate::cloud::Cloud;
use crate::router::Operation;
use crate::verify::{Caller, PrincipalKind};

use super::call::{Failure, Intent, Invocation, invoke, start};
use super::{APP_NAME, FnResponse, Function, lock};
use crate::streaming::named_ocid;

/// Serves the operations on functions.
///
/// Source: Functions API reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, caller: &Caller) -> Answer {
    let id = match operation {
        Operation::GetFunction { function } | Operation::InvokeFunction { function } => function,
        _ => return Answer::error(StatusCode::NOT_FOUND, "NotFound", "no operation of Functions"),
    };
    let function = cloud.functions.function(id).filter(|function| function.region == call.region);
    match (function, operation) {
        (None, _) => refusal(Failure::NotFound),
        (Some(function), Operation::GetFunction { .. }) => get_function(&function, call, caller),
        (Some(_), _) => invoke_function(cloud, id, call, caller).await,
    }
}

fn get_function(function: &Function, call: &Call, caller: &Caller) -> Answer {
    let spec = lock(&function.spec).clone();
    let host = call.header("host").unwrap_or("127.0.0.1");
    Answer::ok(&serde_json::json!({
        "id": function.id,
        "displayName": spec.name,
        "lifecycleState": "ACTIVE",
        "applicationId": named_ocid("fnapp", function.region, APP_NAME),
        "compartmentId": caller.tenancy,
        "memoryInMBs": spec.memory_mb,
        "timeoutInSeconds": spec.timeout_secs,
        "detachedModeTimeoutInSeconds": spec.detached_timeout_secs,
        "config": spec.config,
        "invokeEndpoint": format!("http://{host}"),
        "freeformTags": {},
        "definedTags": {},
    }))
}

async fn invoke_function(cloud: &Arc<Cloud>, id: &str, call: &Call, caller: &Caller) -> Answer {
    let mut invocation = Invocation::new(id, call.body.clone(), Intent::Direct);
    invocation.is_detached = call.header("fn-invoke-type") == Some("detached");
    invocation.headers = passed_on(call, caller);
    if call.header("is-dry-run") == Some("true") {
        return Answer::empty(StatusCode::ACCEPTED);
    }
    if invocation.is_detached {
        // The call runs on by itself; its result goes nowhere.
        return match start(cloud, invocation) {
            Ok(_) => Answer::empty(StatusCode::ACCEPTED),
            Err(failure) => refusal(failure),
        };
    }
    match invoke(cloud, invocation).await {
        Ok(response) => answered(response),
        Err(failure) => refusal(failure),
    }
}

/// What the platform hands to the function of a direct caller: all but what belongs to the connection, forgeries of
/// `fn-http-*` included, and who the caller is.
fn passed_on(call: &Call, caller: &Caller) -> Vec<(String, String)> {
    let own = ["authorization", "host", "content-length", "accept-encoding"];
    let mut headers: Vec<_> = text_headers(&call.headers).filter(|(name, _)| !own.contains(&name.as_str())).collect();
    let kind = match caller.kind {
        PrincipalKind::User => "user",
        PrincipalKind::Resource | PrincipalKind::Anonymous => "resource",
    };
    headers.push(("oci-subject-id".to_owned(), caller.principal.clone()));
    headers.push(("oci-subject-type".to_owned(), kind.to_owned()));
    headers.push(("oci-subject-tenancy-id".to_owned(), caller.tenancy.clone()));
    headers
}

/// The headers that are text and not the connection's own.
pub(crate) fn text_headers(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    let hop_by_hop = ["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];
    headers.iter().filter_map(move |(name, value)| {
        let value = value.to_str().ok()?;
        (!hop_by_hop.contains(&name.as_str())).then(|| (name.to_string(), value.to_owned()))
    })
}

/// The function's own body and headers, as they are.
fn answered(response: FnResponse) -> Answer {
    let mut answer = Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: response.body };
    for (name, value) in &response.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
        let is_the_connections = name == header::CONTENT_LENGTH || name == header::TRANSFER_ENCODING;
        if !is_the_connections && name != header::CONNECTION && name != header::DATE {
            answer.headers.append(name, value);
        }
    }
    answer
}

fn refusal(failure: Failure) -> Answer {
    let (status, code) = failure.answer();
    Answer::error(status, code, &failure.to_string())
}
