//! The way of one request: read, route, spoil, verify, count, serve, and the headers that every answer has.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::cloud::Cloud;
use crate::faults::{Cut, Dated, Ended};
use crate::router::{NoRoute, Operation, route};
use crate::verify::{Caller, http_date};
use crate::{audit, functions, gateway, identity, monitoring, notifications, object_storage, secrets, streaming};

/// Answers `request`; a leaping clock keeps to real time meanwhile.
pub(crate) async fn handle(
    cloud: &Arc<Cloud>,
    mut request: http::Request<Bytes>,
) -> Result<http::Response<Bytes>, Cut> {
    let _busy = cloud.clock.busy();
    complete(&mut request);
    let is_head = request.method() == Method::HEAD;
    let client_id = client_request_id(&request);
    let answer = match Call::read(request, cloud.tenancy.home_region()) {
        Some(call) => answer(cloud, &call).await?,
        None => Answer::error(StatusCode::BAD_REQUEST, "InvalidParameter", "the path or query is not UTF-8").into(),
    };
    Ok(finish(cloud, answer, client_id, is_head))
}

async fn answer(cloud: &Arc<Cloud>, call: &Call) -> Result<Dated, Cut> {
    let operation = match route(call) {
        Ok(operation) => operation,
        Err(NoRoute::Path) => {
            cloud.counters.count("NotFound");
            return Ok(Answer::error(StatusCode::NOT_FOUND, "NotFound", "no such route").into());
        }
        Err(NoRoute::Method) => {
            cloud.counters.count("MethodNotAllowed");
            return Ok(Answer::error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "not this method").into());
        }
    };
    cloud.counters.count(operation.name());
    let spoiled = match cloud.faults.before(&operation, call).await {
        Ok(spoiled) => spoiled,
        Err(Ended::Answer(dated)) => return Ok(dated),
        Err(Ended::Cut(cut)) => return Err(cut),
    };
    let answer = match caller(cloud, &operation, call) {
        Ok(caller) => serve(cloud, &operation, call, &caller).await,
        Err(refused) => refused.into(),
    };
    cloud.faults.after(spoiled, answer).await
}

/// Who calls, or the 401.
fn caller(cloud: &Cloud, operation: &Operation, call: &Call) -> Result<Caller, Refused> {
    if matches!(operation, Operation::Gateway { .. }) {
        return Ok(Caller::anonymous());
    }
    if !cloud.settings.check_signatures {
        return Ok(cloud.principals.anyone());
    }
    cloud
        .principals
        .verify(call, operation.may_be_signed_without_body(), cloud.signature_now(), cloud.tokens_now())
        .map_err(|refusal| {
            cloud.counters.count("NotAuthenticated");
            Refused::new(StatusCode::UNAUTHORIZED, "NotAuthenticated", refusal.to_string())
        })
}

async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, caller: &Caller) -> Answer {
    match operation {
        Operation::ListRegionSubscriptions { .. }
        | Operation::GetTenancy { .. }
        | Operation::ListCompartments
        | Operation::GetCompartment { .. } => identity::serve(cloud, operation, call, caller).await,
        Operation::ListEvents | Operation::GetConfiguration => audit::serve(cloud, operation, call, caller).await,
        Operation::GetStream { .. }
        | Operation::ListStreams
        | Operation::PutMessages { .. }
        | Operation::CreateCursor { .. }
        | Operation::CreateGroupCursor { .. }
        | Operation::GetMessages { .. }
        | Operation::ConsumerCommit { .. }
        | Operation::ConsumerHeartbeat { .. } => streaming::serve(cloud, operation, call, caller).await,
        Operation::PublishMessage { .. } | Operation::GetTopic { .. } => {
            notifications::serve(cloud, operation, call, caller).await
        }
        Operation::GetNamespace
        | Operation::GetBucket { .. }
        | Operation::ListObjects { .. }
        | Operation::GetObject { .. }
        | Operation::HeadObject { .. }
        | Operation::PutObject { .. }
        | Operation::DeleteObject { .. }
        | Operation::RenameObject { .. } => object_storage::serve(cloud, operation, call, caller).await,
        Operation::GetSecretBundle { .. }
        | Operation::GetSecretBundleByName
        | Operation::ListSecretBundleVersions { .. } => secrets::serve(cloud, operation, call, caller).await,
        Operation::GetFunction { .. } | Operation::InvokeFunction { .. } => {
            functions::serve(cloud, operation, call, caller).await
        }
        Operation::PostMetricData => monitoring::serve(cloud, operation, call),
        // Nothing routes to it: the cloud does it on its own account.
        Operation::EmitEvent { .. } => Answer::error(StatusCode::NOT_FOUND, "NotFound", "no such route"),
        Operation::Gateway { .. } => gateway::serve(cloud, operation, call, caller).await,
    }
}

/// What an HTTP client would have put on, for a request that came in process.
fn complete(request: &mut http::Request<Bytes>) {
    let Some(authority) = request.uri().authority().map(ToString::to_string) else { return };
    let length = request.body().len();
    let headers = request.headers_mut();
    if !headers.contains_key(header::HOST)
        && let Ok(host) = HeaderValue::from_str(&authority)
    {
        headers.insert(header::HOST, host);
    }
    if length > 0 && !headers.contains_key(header::CONTENT_LENGTH) && !headers.contains_key(header::TRANSFER_ENCODING) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// The client's part of the request id: the service completes it.
fn client_request_id(request: &http::Request<Bytes>) -> Option<String> {
    let id = request.headers().get("opc-request-id")?.to_str().ok()?;
    let part_is_fine = |part: &str| !part.is_empty() && part.len() <= 32;
    (id.split('/').count() <= 3 && id.split('/').all(part_is_fine)).then(|| id.to_owned())
}

fn finish(cloud: &Cloud, dated: Dated, client_id: Option<String>, is_head: bool) -> http::Response<Bytes> {
    let Dated { answer: Answer { status, mut headers, mut body }, ahead } = dated;
    // A 401 tells the time that dates are held to, whatever the clock of the tenancy's day says.
    let now = if status == StatusCode::UNAUTHORIZED { cloud.signature_now() } else { cloud.clock.now() };
    let date = now.checked_add(cloud.settings.date_header_offset.saturating_add(ahead)).unwrap_or(now);
    let own_id = cloud.next_request_id();
    let id = client_id.map_or_else(
        || own_id.clone(),
        |client| if client.contains('/') { client } else { format!("{client}/{own_id}") },
    );
    for (name, value) in [("date", http_date(date)), ("opc-request-id", id)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if is_head {
        body = Bytes::new();
    } else if status != StatusCode::NO_CONTENT
        && status != StatusCode::NOT_MODIFIED
        && !headers.contains_key(header::CONTENT_LENGTH)
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
