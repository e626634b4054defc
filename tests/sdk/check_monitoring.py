"""Monitoring: what PostMetricData takes, refuses in part, and refuses whole."""

import datetime

import oci
from emulator import API_KEY, Case
from oci.monitoring.models import Datapoint, MetricDataDetails, PostMetricDataDetails


class Monitoring(Case):
    @classmethod
    def setUpClass(cls):
        cls.monitoring = cls.client(oci.monitoring.MonitoringClient)

    def metric(self, ahead=datetime.timedelta(), **changed):
        now = datetime.datetime.now(datetime.timezone.utc)
        fields = {
            "namespace": "siem", "compartment_id": self.cloud.ready["tenancy"], "name": "delivered", "dimensions": {"destination": "splunk"},
            "datapoints": [Datapoint(timestamp=now + ahead, value=1.0, count=1)], **changed,
        }
        return MetricDataDetails(**fields)

    def post(self, *metrics, **options):
        return self.monitoring.post_metric_data(PostMetricDataDetails(metric_data=list(metrics), **options))

    def test_a_metric_is_taken(self):
        answer = self.post(self.metric(), self.metric(resource_group="prod", metadata={"unit": "count"}, name="a.b_c-d$"))
        self.assertEqual((answer.status, answer.data.failed_metrics_count, answer.data.failed_metrics), (200, 0, []))
        self.assertTrue(answer.request_id)

    def test_a_bad_metric_is_named_and_the_others_are_taken(self):
        bad = {
            "namespace": self.metric(namespace="oci_siem"), "name": self.metric(name="a b"), "group": self.metric(resource_group="1"),
            "none": self.metric(dimensions={}), "many": self.metric(dimensions={f"k{index}": "v" for index in range(21)}),
            "key": self.metric(dimensions={"a b": "v"}), "value": self.metric(dimensions={"k": ""}),
            "unit": self.metric(metadata={"unit": "u" * 257}), "points": self.metric(datapoints=[]),
            "past": self.metric(ahead=-datetime.timedelta(hours=2, seconds=1)), "future": self.metric(ahead=datetime.timedelta(minutes=11)),
        }
        for what, metric in bad.items():
            with self.subTest(what):
                answer = self.post(self.metric(), metric)
                self.assertEqual((answer.status, answer.data.failed_metrics_count), (200, 1))
                (failed,) = answer.data.failed_metrics
                self.assertTrue(failed.message)
                self.assertEqual((failed.metric_data.namespace, failed.metric_data.name), (metric.namespace, metric.name))

    def test_all_or_nothing_is_refused_whole(self):
        with self.refused(400, "InvalidParameter"):
            self.post(self.metric(), self.metric(name="a b"), batch_atomicity="ATOMIC")
        with self.refused(400, "InvalidParameter"):
            self.post(self.metric(name="a b"))

    def test_a_call_has_at_most_50_streams(self):
        metrics = [self.metric(name=f"m{index}") for index in range(51)]
        self.assertEqual(self.post(*metrics[:50]).data.failed_metrics_count, 0)
        with self.refused(400, "InvalidParameter"):
            self.post(*metrics)

    def test_an_unknown_compartment_is_not_found(self):
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.post(self.metric(compartment_id="ocid1.compartment.oc1..aaaaaaaanobody"))

    def test_the_other_side_of_monitoring_is_not_here(self):
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.monitoring.list_metrics(self.cloud.ready["tenancy"], oci.monitoring.models.ListMetricsDetails())
        self.assertEqual(raised.exception.status, 404)


class MonitoringInItsRegion(Case):
    """Once only: an endpoint that the caller sets, as each caller of PostMetricData must."""

    principals = (API_KEY,)

    def test_a_metric_is_posted_to_another_region(self):
        identity = self.client(oci.identity.IdentityClient)
        regions = [one.region_name for one in identity.list_region_subscriptions(self.cloud.ready["tenancy"]).data]
        client = self.client(oci.monitoring.MonitoringClient, region=next(one for one in regions if one != self.cloud.ready["region"]))
        now = datetime.datetime.now(datetime.timezone.utc)
        metric = MetricDataDetails(namespace="siem", compartment_id=self.cloud.ready["tenancy"], name="delivered",
                                   dimensions={"k": "v"}, datapoints=[Datapoint(timestamp=now, value=1.0)])
        self.assertEqual(client.post_metric_data(PostMetricDataDetails(metric_data=[metric])).data.failed_metrics_count, 0)
