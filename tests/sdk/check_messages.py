"""Notifications, Secrets and Functions."""

import base64
import urllib.error
import urllib.request

import oci
from emulator import API_KEY, Case
from oci.ons.models import MessageDetails

UNKNOWN = "ocid1.{}.oc1.iad.amaaaaaanobody"


class Notifications(Case):
    @classmethod
    def setUpClass(cls):
        cls.publisher = cls.client(oci.ons.NotificationDataPlaneClient)
        cls.admin = cls.client(oci.ons.NotificationControlPlaneClient)
        cls.topic = sorted(cls.cloud.ready["topics"].values())[0]

    def test_a_topic_tells_about_itself(self):
        topic = self.admin.get_topic(self.topic).data
        self.assertEqual((topic.topic_id, topic.lifecycle_state), (self.topic, "ACTIVE"))
        self.assertTrue(topic.name)
        self.assertTrue(topic.api_endpoint.startswith(self.cloud.endpoint))

    def test_a_message_is_taken(self):
        answers = [self.publisher.publish_message(self.topic, MessageDetails(title="title", body=body)) for body in ('{"v":1}', "ü€")]
        self.assertEqual({answer.status for answer in answers}, {202})
        self.assertEqual(len({answer.data.message_id for answer in answers}), 2)
        self.assertTrue(all(answer.data.time_stamp for answer in answers))

    def test_a_message_needs_a_body_of_at_most_64_kilobytes(self):
        self.publisher.publish_message(self.topic, MessageDetails(body="x" * 60_000))
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.publisher.publish_message(self.topic, MessageDetails(body="x" * 65_537))
        self.assertIn(raised.exception.status, (400, 413))
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.publisher.publish_message(self.topic, MessageDetails(title="no body"))
        self.assertEqual(raised.exception.status, 400)

    def test_an_unknown_topic_is_not_found(self):
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.publisher.publish_message(UNKNOWN.format("onstopic"), MessageDetails(body="x"))
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.admin.get_topic(UNKNOWN.format("onstopic"))


class NotificationsThrottle(Case):
    """Once only: it uses up a topic for a minute."""

    principals = (API_KEY,)

    def test_the_61st_message_of_a_minute_is_throttled(self):
        topic = sorted(self.cloud.ready["topics"].values())[-1]
        publisher = self.client(oci.ons.NotificationDataPlaneClient)
        taken = 0
        with self.refused(429, "TooManyRequests"):
            for taken in range(125):
                publisher.publish_message(topic, MessageDetails(body=str(taken)))
        # A minute may have ended on the way.
        self.assertIn(taken, range(60, 121))


class Secrets(Case):
    @classmethod
    def setUpClass(cls):
        cls.secrets = cls.client(oci.secrets.SecretsClient)
        cls.secret = cls.cloud.ready["secret"]

    def test_the_content_is_base64(self):
        answer = self.secrets.get_secret_bundle(self.secret)
        bundle = answer.data
        self.assertEqual(bundle.secret_id, self.secret)
        self.assertEqual(bundle.secret_bundle_content.content_type, "BASE64")
        self.assertTrue(base64.b64decode(bundle.secret_bundle_content.content, validate=True))
        self.assertIn("CURRENT", bundle.stages)
        self.assertTrue(bundle.time_created and bundle.version_number and answer.headers["etag"])

    def test_versions_by_number_and_by_stage(self):
        versions = oci.pagination.list_call_get_all_results(self.secrets.list_secret_bundle_versions, self.secret, limit=1).data
        numbers = [one.version_number for one in versions]
        self.assertEqual(numbers, sorted(set(numbers), reverse=True))
        for one in versions:
            self.assertEqual(self.secrets.get_secret_bundle(self.secret, version_number=one.version_number).data.version_number, one.version_number)
            for stage in one.stages or []:
                if stage in ("CURRENT", "LATEST", "PREVIOUS"):
                    self.assertEqual(self.secrets.get_secret_bundle(self.secret, stage=stage).data.version_number, one.version_number)
        current = self.secrets.get_secret_bundle(self.secret).data
        self.assertEqual(self.secrets.get_secret_bundle(self.secret, stage="CURRENT").data.version_number, current.version_number)

    def test_a_secret_by_its_name(self):
        by_id = self.secrets.get_secret_bundle(self.secret).data
        by_name = self.secrets.get_secret_bundle_by_name("hec-token", self.cloud.ready["vault"]).data
        self.assertEqual((by_name.secret_id, by_name.secret_bundle_content.content), (self.secret, by_id.secret_bundle_content.content))
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.secrets.get_secret_bundle_by_name("nobody", self.cloud.ready["vault"])

    def test_what_is_not_there_is_not_found(self):
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.secrets.get_secret_bundle(UNKNOWN.format("vaultsecret"))
        with self.refused(404, "NotAuthorizedOrNotFound"):
            self.secrets.get_secret_bundle(self.secret, version_number=999)


class FunctionCalls(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = cls.client(oci.functions.FunctionsManagementClient)
        cls.caller = cls.client(oci.functions.FunctionsInvokeClient)

    def function(self, name):
        functions = self.cloud.ready.get("functions", {})
        if name not in functions:
            self.skipTest(f"local-oci serves no function {name}")
        return functions[name]

    def test_an_unknown_function_is_not_found(self):
        unknown = UNKNOWN.format("fnfunc")
        for call in (self.admin.get_function, self.caller.invoke_function):
            with self.assertRaises(oci.exceptions.ServiceError) as raised:
                call(unknown)
            self.assertEqual(raised.exception.status, 404)
            self.assertTrue(raised.exception.code and raised.exception.request_id)

    def test_a_function_tells_about_itself(self):
        function = self.function("list-regions-compartments")
        about = self.admin.get_function(function).data
        self.assertEqual((about.id, about.display_name, about.lifecycle_state), (function, "list-regions-compartments", "ACTIVE"))
        self.assertIn(about.memory_in_mbs, (128, 256, 512, 1024, 2048, 3072))
        self.assertIn(about.timeout_in_seconds, range(1, 301))
        self.assertTrue(about.invoke_endpoint.startswith("http"))

    def test_a_function_is_invoked_and_its_failure_is_told(self):
        answer = self.caller.invoke_function(self.function("list-regions-compartments"), invoke_function_body=b"")
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.data.content)
        with self.refused(502, "FunctionInvokeExecutionFailed"):
            self.caller.invoke_function(self.function("list-regions-compartments"), invoke_function_body=b'{"strat":"x"}')

    def test_a_detached_call_is_accepted(self):
        answer = self.caller.invoke_function(
            self.function("list-regions-compartments"), invoke_function_body=b"", fn_invoke_type="detached")
        self.assertEqual(answer.status, 202)

    def test_the_gateway_rings_for_whoever_knows_the_secret(self):
        self.function("list-regions-compartments")
        ready = self.cloud.ready
        secrets = self.client(oci.secrets.SecretsClient)
        content = secrets.get_secret_bundle(ready["gateway_secret"]).data.secret_bundle_content.content
        for secret, status in ((base64.b64decode(content).decode(), 200), ("something else", 401)):
            request = urllib.request.Request(ready["gateway"], headers={"x-siem-tick": secret})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    self.assertEqual((answer.status, answer.read()), (status, b""))
            except urllib.error.HTTPError as refusal:
                self.assertEqual((refusal.code, refusal.read()), (status, b""))

    def test_the_collector_is_there(self):
        self.function("ship-to-siem")
        with urllib.request.urlopen(f"{self.cloud.ready['splunk']}/services/collector/health", timeout=10) as answer:
            self.assertEqual(answer.status, 200)

    def test_more_than_six_megabytes_are_refused(self):
        with self.refused(413, "FunctionInvokeRequestContentTooLarge"):
            self.caller.invoke_function(self.function("list-regions-compartments"), invoke_function_body=b"x" * 6_300_001)
