"""What our own client writes, read back with the official SDK: objects, messages, and the events that both of them list."""

import base64
import datetime
import json

import oci
from emulator import RESOURCE_PRINCIPAL, Case, Emulator, every_page
from function import Function
from oci.streaming.models import CreateCursorDetails

# How long before now the first window begins.
BACKLOG = datetime.timedelta(hours=3)


class Written(Case):
    """The planner and the fetcher, in turn, in a tenancy of their own. Each test reads one thing that they left."""

    # How often the two run.
    runs = 1

    # Minutes after which the planner looks at a window again; 0 for never, so that one run is one look.
    late_after_minutes = "0"

    @classmethod
    def setUpClass(cls):
        cls.cloud = Emulator("--events", "4000")
        try:
            cls.storage = cls.client(oci.object_storage.ObjectStorageClient)
            cls.streaming = cls.client(oci.streaming.StreamClient)
            cls.place = (cls.cloud.ready["namespace"], cls.cloud.ready["bucket"])
            cls.work, cls.events = cls.cloud.ready["streams"]["work"], cls.cloud.ready["streams"]["events"]
            topics = cls.cloud.ready["topics"]
            now = datetime.datetime.now(datetime.timezone.utc)
            keys = {"stream_ocid": cls.work, "splunk_topic": topics["ship"], "destination": "splunk"}
            start = (now - BACKLOG).strftime("%Y-%m-%dT%H:%M:00Z")
            cls.owed = {}
            for _ in range(cls.runs):
                cls.call("list-regions-compartments", b"", **keys, audit_topic=topics["fetch"], start=start,
                         late_after_minutes=cls.late_after_minutes)
                waiting = {name: cls.read(name) for name in cls.names("owed/fetch/")}
                doorbell = json.dumps({"v": 1, "pointers": [{"receipt": name} for name in waiting]}).encode()
                cls.call("fetch-audit-events", doorbell, **keys, event_stream_ocid=cls.events, stream_encoding="plain")
                cls.owed.update(waiting)
            cls.units, cls.unit_messages = cls.read_units()
        except BaseException:
            cls.cloud.stop()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.cloud.stop()

    @classmethod
    def call(cls, name, body, **configuration):
        with Function(cls.cloud, cls.principal, name, **configuration) as function:
            status, answer = function.call(body)
            if status != 200:
                raise AssertionError(f"{name} answered {status} {answer!r}\n{function.log()}")

    @classmethod
    def names(cls, prefix):
        return [one.name for one in oci.pagination.list_call_get_all_results(
            cls.storage.list_objects, *cls.place, prefix=prefix).data.objects]

    @classmethod
    def read(cls, name):
        return json.loads(cls.storage.get_object(*cls.place, name).data.content)

    @classmethod
    def messages(cls, stream):
        """Everything on a stream, by partition."""
        found = []
        for partition in range(2):
            cursor = cls.streaming.create_cursor(stream, CreateCursorDetails(partition=str(partition), type="TRIM_HORIZON")).data.value
            while True:
                answer = cls.streaming.get_messages(stream, cursor, limit=10000)
                if not answer.data:
                    break
                found += answer.data
                cursor = answer.headers["opc-next-cursor"]
        return found

    @classmethod
    def read_units(cls):
        messages = cls.messages(cls.work)
        return [json.loads(base64.b64decode(one.value)) for one in messages], messages

    def listed(self):
        """The ids of all events of the planned units, as the SDK lists them."""
        found = set()
        for unit in self.units:
            start, end = (datetime.datetime.fromisoformat(unit[name].replace("Z", "+00:00")) for name in ("start_time", "end_time"))
            audit = self.client(oci.audit.AuditClient, unit["region"])
            for page in every_page(audit.list_events, unit["compartment"], start, end):
                found |= {one.event_id for one in page.data}
        return found

    def carried(self):
        """The ids of all events on the event stream, as they lie there."""
        return [json.loads(base64.b64decode(one.value))["eventId"] for one in self.messages(self.events)]


class Functions(Written):
    def test_the_work_units_are_one_json_object_a_message(self):
        self.assertTrue(self.units)
        for unit in self.units:
            self.assertEqual(set(unit), {"region", "compartment", "start_time", "end_time", "look"})
            for name in ("start_time", "end_time"):
                self.assertRegex(unit[name], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:00Z$")

    def test_every_scope_is_planned_without_a_gap_or_an_overlap(self):
        identity = self.client(oci.identity.IdentityClient)
        tenancy = self.cloud.ready["tenancy"]
        regions = [one.region_name for one in identity.list_region_subscriptions(tenancy).data]
        compartments = [one.id for one in oci.pagination.list_call_get_all_results(
            identity.list_compartments, tenancy, compartment_id_in_subtree=True).data] + [tenancy]
        windows = {}
        for unit in self.units:
            windows.setdefault((unit["region"], unit["compartment"]), []).append((unit["start_time"], unit["end_time"]))
        self.assertEqual(set(windows), {(region, compartment) for region in regions for compartment in compartments})
        for found in windows.values():
            found.sort()
            self.assertTrue(all(before[1] == after[0] for before, after in zip(found, found[1:])), found)

    def test_messages_of_one_batch_share_key_and_partition(self):
        for messages in (self.unit_messages, self.messages(self.events)):
            places = {}
            for one in messages:
                self.assertTrue(one.key)
                places.setdefault(one.key, set()).add(one.partition)
            self.assertTrue(places)
            self.assertTrue(all(len(partitions) == 1 for partitions in places.values()))

    def test_the_receipts_name_the_units_that_lie_on_the_stream(self):
        owed = [unit for body in self.owed.values() for unit in body["units"]]
        self.assertEqual(sorted(owed, key=json.dumps), sorted(self.units, key=json.dumps))
        self.assertTrue(all(name.endswith("~0") for name in self.owed))

    def test_the_position_is_the_end_of_the_last_window(self):
        position = self.read("positions.json")["planned_until"]
        self.assertEqual(position, max(unit["end_time"] for unit in self.units))

    def test_a_receipt_that_is_done_is_gone(self):
        self.assertEqual(self.names("owed/fetch/"), [])
        self.assertEqual(self.names("held/"), [])
        self.assertEqual(self.names("dead/"), [])

    def test_the_stream_carries_what_the_sdk_lists_and_nothing_else(self):
        listed, carried = self.listed(), self.carried()
        self.assertGreater(len(listed), 100)
        self.assertEqual(set(carried) - listed, set())
        self.assertEqual(listed - set(carried), set())
        self.assertEqual(len(carried), len(set(carried)))

    def test_every_batch_is_owed_to_the_destination(self):
        bodies = [self.read(name) for name in self.names("owed/ship/splunk/")]
        batches = {base64.b64decode(one.key).decode() for one in self.messages(self.events)}
        self.assertEqual({body["batch"] for body in bodies}, batches)
        self.assertEqual(sum(body["num_records"] for body in bodies), len(self.messages(self.events)))
        for body in bodies:
            cursor = self.streaming.create_cursor(
                body["stream"], CreateCursorDetails(partition=body["partition"], type="AT_OFFSET", offset=body["offset"])).data.value
            first = self.streaming.get_messages(body["stream"], cursor, limit=1).data[0]
            self.assertEqual((first.offset, base64.b64decode(first.key).decode()), (body["offset"], body["batch"]))


class LateStart(Written):
    """A backlog: the second look at it is planned once the first is over, and finds nothing new."""

    runs = 2
    principals = (RESOURCE_PRINCIPAL,)
    late_after_minutes = "20"

    def test_the_second_look_adds_only_what_the_first_has_not(self):
        self.assertEqual({unit["look"] for unit in self.units}, {1, 2})
        carried = self.carried()
        self.assertEqual(set(carried), self.listed())
        self.assertEqual(len(carried), len(set(carried)))
