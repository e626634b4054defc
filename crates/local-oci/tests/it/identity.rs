use std::collections::BTreeSet;

use jiff::SignedDuration;
use local_oci::{LifecycleState, TenancyPlan};
use serde_json::Value;

use crate::client::{Client, Got, encoded, noon, settings};

fn client(compartments: usize, empty_pages: bool) -> Client {
    let mut settings = settings();
    settings.plan = TenancyPlan { regions: 3, compartments, ..settings.plan };
    settings.empty_compartment_pages = empty_pages;
    Client::new(settings)
}

async fn list(client: &Client, query: &str) -> Got {
    let root = client.cloud.tenancy().id().to_owned();
    client.get(&format!("/20160918/compartments?compartmentId={root}{query}")).await
}

fn ids(page: &Value) -> Vec<String> {
    page.as_array().expect("an array").iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

/// All pages, and how many of them were empty with a next page.
async fn list_all(client: &Client, query: &str) -> (Vec<String>, usize) {
    let (mut all, mut empty, mut page) = (Vec::new(), 0, String::new());
    loop {
        let got = list(client, &format!("{query}{page}")).await;
        assert_eq!(got.status, 200, "{:?}", got.body);
        let found = ids(&got.json());
        let Some(next) = got.headers.get("opc-next-page") else {
            all.extend(found);
            return (all, empty);
        };
        empty += usize::from(found.is_empty());
        all.extend(found);
        page = format!("&page={}", encoded(next));
    }
}

#[tokio::test(start_paused = true)]
async fn region_subscriptions_tell_home_and_readiness() {
    let client = client(0, false);
    let tenancy = client.cloud.tenancy();
    tenancy.subscribe("eu-madrid-1", noon(), noon() + SignedDuration::from_mins(10));
    let path = format!("/20160918/tenancies/{}/regionSubscriptions", tenancy.id());
    let regions = client.get(&path).await.json();
    let statuses = |regions: &Value| -> Vec<String> {
        regions.as_array().expect("an array").iter().map(|region| region["status"].to_string()).collect()
    };
    assert_eq!(statuses(&regions), [r#""READY""#, r#""READY""#, r#""READY""#, r#""IN_PROGRESS""#]);
    assert_eq!(regions[0]["isHomeRegion"], true);
    assert_eq!(regions[0]["regionKey"], "IAD");
    assert_eq!(regions[1]["isHomeRegion"], false);
    client.cloud.clock().sleep(SignedDuration::from_mins(10)).await;
    assert_eq!(statuses(&client.get(&path).await.json())[3], r#""READY""#);
    let got = client.get("/20160918/tenancies/ocid1.tenancy.oc1..other/regionSubscriptions").await;
    assert_eq!(got.error(), (404, "NotAuthorizedOrNotFound".to_owned()));
    let got = client.get(&format!("/20160918/tenancies/{}", tenancy.id())).await.json();
    assert_eq!((&got["homeRegionKey"], &got["name"]), (&"IAD".into(), &"acme".into()));
}

#[tokio::test(start_paused = true)]
async fn the_subtree_holds_every_compartment_and_never_the_root() {
    let client = client(40, false);
    let root = client.cloud.tenancy().id().to_owned();
    let (all, _) = list_all(&client, "&compartmentIdInSubtree=true&limit=7").await;
    let expected: BTreeSet<String> =
        client.cloud.tenancy().compartments(noon()).into_iter().map(|compartment| compartment.id).collect();
    assert_eq!((all.len(), expected.len()), (40, 40));
    assert_eq!(all.iter().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(!all.contains(&root));
    let (children, _) = list_all(&client, "").await;
    assert!(!children.is_empty() && children.len() < 40, "{} direct children", children.len());
}

#[tokio::test(start_paused = true)]
async fn a_page_may_be_empty_though_another_follows() {
    let client = client(20, true);
    let (all, empty) = list_all(&client, "&compartmentIdInSubtree=true&limit=5").await;
    assert_eq!((all.len(), empty), (20, 4));
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_compartment_made_between_pages_shifts_nothing() {
    let client = client(6, false);
    let first = list(&client, "&compartmentIdInSubtree=true&limit=4").await;
    client.cloud.clock().sleep(SignedDuration::from_secs(1)).await;
    let tenancy = client.cloud.tenancy();
    let late = tenancy.add_compartment("late", tenancy.id(), client.cloud.clock().now());
    let next = encoded(first.header("opc-next-page"));
    let second = list(&client, &format!("&compartmentIdInSubtree=true&limit=4&page={next}")).await;
    let mut seen = ids(&first.json());
    seen.extend(ids(&second.json()));
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>().len()), (6, 6));
    assert!(!seen.contains(&late));
    let (all, _) = list_all(&client, "&compartmentIdInSubtree=true").await;
    assert_eq!(all[0], late, "newest first");
}

#[tokio::test(start_paused = true)]
async fn filters_orders_and_access_levels_hold() {
    let client = client(12, false);
    let tenancy = client.cloud.tenancy();
    let all = tenancy.compartments(noon());
    let hidden = &all[3].id;
    tenancy.set_accessible(hidden, false);
    tenancy.set_state(&all[5].id, LifecycleState::Deleting, noon() - SignedDuration::from_mins(2));
    tenancy.set_state(&all[5].id, LifecycleState::Deleted, noon() + SignedDuration::from_mins(2));
    let tree = "&compartmentIdInSubtree=true";
    let count = async |query: &str| list_all(&client, &format!("{tree}{query}")).await.0.len();
    assert_eq!(count("&accessLevel=ANY").await, 12);
    assert_eq!(count("&accessLevel=ACCESSIBLE").await, 11);
    assert_eq!(count("&lifecycleState=deleting").await, 1);
    assert_eq!(count("&lifecycleState=DELETED").await, 0);
    assert_eq!(count("&name=compartment-04").await, 1);
    client.cloud.clock().sleep(SignedDuration::from_mins(3)).await;
    assert_eq!((count("&lifecycleState=DELETED").await, count("").await), (1, 12));
    let names = async |query: &str| {
        let page = list(&client, &format!("{tree}&sortBy=NAME{query}")).await.json();
        page[0]["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(
        (names("").await, names("&sortOrder=DESC").await),
        ("compartment-00".to_owned(), "compartment-11".to_owned())
    );
    let got = client.get(&format!("/20160918/compartments/{hidden}")).await;
    assert_eq!(got.error(), (404, "NotAuthorizedOrNotFound".to_owned()));
    assert_eq!(client.get(&format!("/20160918/compartments/{}", all[0].id)).await.json()["lifecycleState"], "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn wrong_parameters_are_400_and_unknown_compartments_404() {
    let client = client(4, false);
    let got = client.get("/20160918/compartments").await;
    assert_eq!(got.error(), (400, "MissingParameter".to_owned()));
    let got = client.get("/20160918/compartments?compartmentId=ocid1.compartment.oc1..nobody").await;
    assert_eq!(got.error(), (404, "NotAuthorizedOrNotFound".to_owned()));
    for query in [
        "&compartmentIdInSubtree=yes",
        "&accessLevel=SOME",
        "&lifecycleState=GONE",
        "&limit=0",
        "&limit=1001",
        "&sortBy=SIZE",
        "&page=abc",
    ] {
        assert_eq!(list(&client, query).await.error(), (400, "InvalidParameter".to_owned()), "{query}");
    }
    // A token belongs to its query.
    let first = list(&client, "&compartmentIdInSubtree=true&limit=1").await;
    let next = encoded(first.header("opc-next-page"));
    assert_eq!(list(&client, &format!("&page={next}")).await.status, 400);
    // Only the root has a subtree to list.
    let child = &client.cloud.tenancy().compartments(noon())[0].id;
    let path = format!("/20160918/compartments?compartmentId={child}");
    assert_eq!(client.get(&path).await.status, 200);
    let got = client.get(&format!("{path}&compartmentIdInSubtree=true")).await;
    assert_eq!(got.error(), (400, "InvalidParameter".to_owned()));
}
