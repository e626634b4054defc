"""Streaming: putting, cursors of every type, reading on, consumer groups, limits."""

import base64
import time

import oci
from emulator import Case
from oci.streaming.models import (
    CreateCursorDetails,
    CreateGroupCursorDetails,
    PutMessagesDetails,
    PutMessagesDetailsEntry,
)

UNKNOWN = "ocid1.stream.oc1.iad.amaaaaaanobody"
MIB = 1 << 20


def encode(data):
    return base64.b64encode(data).decode()


def entry(value, key=None):
    return PutMessagesDetailsEntry(value=encode(value), key=None if key is None else encode(key))


class Streaming(Case):
    @classmethod
    def setUpClass(cls):
        cls.admin = cls.client(oci.streaming.StreamAdminClient)
        cls.data = cls.client(oci.streaming.StreamClient)
        # The stream with the most partitions: only there can routing go wrong.
        streams = [cls.admin.get_stream(one).data for one in cls.cloud.ready["streams"].values()]
        cls.about = max(streams, key=lambda one: one.partitions)
        cls.stream = cls.about.id

    def put(self, *values, key=b"k"):
        answer = self.data.put_messages(self.stream, PutMessagesDetails(messages=[entry(value, key) for value in values])).data
        self.assertEqual(answer.failures, 0)
        self.assertEqual(len(answer.entries), len(values))
        return answer.entries

    def cursor(self, partition, kind, **options):
        details = CreateCursorDetails(partition=partition, type=kind, **options)
        return self.data.create_cursor(self.stream, details).data.value

    def page(self, cursor, limit=10000):
        """Values of one page, and the next cursor."""
        answer = self.data.get_messages(self.stream, cursor, limit=limit)
        return answer.data, answer.headers["opc-next-cursor"]

    def read_on(self, cursor, limit=10000, until=None):
        """All messages from a cursor to the end of its partition, or to an offset."""
        found = []
        for _ in range(1000):
            messages, cursor = self.page(cursor, limit)
            found += messages
            if not messages or (until is not None and found[-1].offset >= until):
                return found
        raise AssertionError("the stream has no end")

    def test_a_stream_tells_where_its_messages_go(self):
        self.assertEqual(self.about.lifecycle_state, "ACTIVE")
        self.assertTrue(self.about.messages_endpoint.startswith(self.cloud.endpoint))
        self.assertGreaterEqual(self.about.partitions, 1)
        self.assertIn(self.about.retention_in_hours, range(24, 169))
        self.assertTrue(self.about.compartment_id and self.about.name and self.about.time_created)

    def test_the_answer_completes_the_callers_request_id(self):
        sent = "0123456789ABCDEF0123456789ABCDEF"
        answer = self.admin.get_stream(self.stream, opc_request_id=sent)
        self.assertTrue(answer.request_id.startswith(sent + "/"))
        self.assertTrue(answer.headers["date"].endswith("GMT"))

    def test_streams_are_listed_in_pages(self):
        compartment = self.about.compartment_id
        found = oci.pagination.list_call_get_all_results(self.admin.list_streams, compartment_id=compartment, limit=1).data
        self.assertIn(self.stream, [one.id for one in found])
        self.assertEqual(len(found), len({one.id for one in found}))
        named = self.admin.list_streams(compartment_id=compartment, name=self.about.name).data
        self.assertEqual([one.id for one in named], [self.stream])

    def test_what_is_put_comes_back_byte_for_byte(self):
        values = [b'{"a":1}', bytes(range(256)), "ü€😀".encode(), b"x"]
        key = self.unique("key").encode()
        entries = self.put(*values, key=key)
        self.assertEqual(len({one.partition for one in entries}), 1, "equal keys share a partition")
        offsets = [one.offset for one in entries]
        self.assertEqual(offsets, sorted(set(offsets)), "entries answer in the order of the request")
        self.assertTrue(all(one.timestamp and one.error is None for one in entries))
        found = self.read_on(self.cursor(entries[0].partition, "AT_OFFSET", offset=offsets[0]), until=offsets[-1])
        mine = [one for one in found if one.key == encode(key)]
        self.assertEqual([base64.b64decode(one.value) for one in mine], values)
        self.assertEqual([one.offset for one in mine], offsets)
        self.assertTrue(all(one.partition == entries[0].partition and one.timestamp for one in mine))

    def test_equal_keys_go_to_one_partition_and_keys_spread(self):
        keys = [self.unique("key").encode() for _ in range(40)]
        first = {key: self.put(b"1", key=key)[0].partition for key in keys}
        self.assertEqual({key: self.put(b"2", key=key)[0].partition for key in keys}, first)
        self.assertEqual(set(first.values()), {str(one) for one in range(self.about.partitions)})

    def test_a_message_needs_no_key(self):
        entries = self.put(b"keyless", b"keyless", key=None)
        for one in entries:
            found = self.read_on(self.cursor(one.partition, "AT_OFFSET", offset=one.offset), until=one.offset)
            self.assertEqual(base64.b64decode(found[0].value), b"keyless")

    def test_each_cursor_type_begins_where_it_says(self):
        key = self.unique("key").encode()
        first = self.put(b"first", key=key)[0]
        latest = self.cursor(first.partition, "LATEST")
        time.sleep(0.02)
        second = self.put(b"second", key=key)[0]
        partition = first.partition
        for cursor, wanted in [
            (self.cursor(partition, "AT_OFFSET", offset=first.offset), first.offset),
            (self.cursor(partition, "AFTER_OFFSET", offset=first.offset), first.offset + 1),
            (self.cursor(partition, "AT_OFFSET", offset=second.offset), second.offset),
            (self.cursor(partition, "AT_TIME", time=second.timestamp), second.offset),
            (latest, first.offset + 1),
            (self.cursor(partition, "TRIM_HORIZON"), 0),
        ]:
            messages, _ = self.page(cursor, limit=1)
            self.assertEqual([one.offset for one in messages], [wanted])

    def test_reading_goes_on_to_the_end_and_waits_there(self):
        key = self.unique("key").encode()
        entries = self.put(*[b"%d" % number for number in range(10)], key=key)
        cursor = self.cursor(entries[0].partition, "AT_OFFSET", offset=entries[0].offset)
        values = []
        for _ in range(4):
            messages, cursor = self.page(cursor, limit=3)
            self.assertLessEqual(len(messages), 3)
            values += [one.value for one in messages]
        self.assertEqual(values, [encode(b"%d" % number) for number in range(10)])
        messages, cursor = self.page(cursor)
        self.assertEqual(messages, [])
        self.put(b"later", key=key)
        messages, _ = self.page(cursor)
        self.assertEqual([one.value for one in messages], [encode(b"later")])

    def test_a_page_is_bounded_by_bytes(self):
        key = self.unique("key").encode()
        entries = [self.put(b"x" * 700_000, key=key)[0] for _ in range(3)]
        cursor = self.cursor(entries[0].partition, "AT_OFFSET", offset=entries[0].offset)
        messages, cursor = self.page(cursor)
        self.assertEqual([one.offset for one in messages], [entries[0].offset])
        self.assertEqual([one.offset for one in self.read_on(cursor)], [one.offset for one in entries[1:]])

    def test_one_mebibyte_goes_in_and_a_byte_more_does_not(self):
        self.put(b"x" * (MIB - 1), key=b"k")
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.put(b"x" * MIB, key=b"k")
        self.assertIn((raised.exception.status, raised.exception.code), {(400, "InvalidParameter"), (413, "RequestEntityTooLarge")})
        # The sum counts, not the single message.
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.put(b"x" * (MIB // 2), b"x" * (MIB // 2), key=b"k")
        self.assertIn(raised.exception.status, (400, 413))

    def test_malformed_messages_are_refused(self):
        for broken in (
            PutMessagesDetailsEntry(value="not base64!", key=None),
            PutMessagesDetailsEntry(value=None, key=encode(b"k")),
            entry(b"x", b"k" * 257),
        ):
            with self.assertRaises(oci.exceptions.ServiceError) as raised:
                self.data.put_messages(self.stream, PutMessagesDetails(messages=[broken]))
            self.assertEqual(raised.exception.status, 400)
            self.assertIn(raised.exception.code, ("InvalidParameter", "MissingParameter"))
        self.put(b"x", key=b"k" * 256)

    def test_cursors_that_point_nowhere_are_refused(self):
        last = self.put(b"last", key=b"k")[0]
        # Plain dictionaries: the SDK's model would not let an unknown type through.
        for options in (
            {"type": "AT_OFFSET", "offset": last.offset + 1000},
            {"type": "AFTER_OFFSET", "offset": last.offset + 1000},
            {"type": "AT_OFFSET"},
            {"type": "AT_TIME"},
            {"type": "SOMEWHERE"},
        ):
            with self.assertRaises(oci.exceptions.ServiceError) as raised:
                self.data.create_cursor(self.stream, {"partition": last.partition, **options})
            self.assertEqual(raised.exception.status, 400, options)
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.cursor(str(self.about.partitions), "TRIM_HORIZON")
        self.assertIn(raised.exception.status, (400, 404))

    def test_a_cursor_that_is_none_is_refused(self):
        for cursor in ("none", encode(b"none")):
            with self.refused(400, "InvalidParameter"):
                self.page(cursor)

    def test_an_unknown_stream_is_not_found(self):
        details = PutMessagesDetails(messages=[entry(b"x")])
        for call in (
            lambda: self.admin.get_stream(UNKNOWN),
            lambda: self.data.put_messages(UNKNOWN, details),
            lambda: self.data.create_cursor(UNKNOWN, CreateCursorDetails(partition="0", type="TRIM_HORIZON")),
            lambda: self.data.create_group_cursor(UNKNOWN, CreateGroupCursorDetails(group_name="g", type="TRIM_HORIZON")),
            lambda: self.data.get_messages(UNKNOWN, "x"),
        ):
            with self.refused(404, "NotAuthorizedOrNotFound"):
                call()

    def group_cursor(self, group, instance, kind="TRIM_HORIZON", **options):
        details = CreateGroupCursorDetails(group_name=group, instance_name=instance, type=kind, **options)
        return self.data.create_group_cursor(self.stream, details).data.value

    def read_group(self, cursor, limit=10000):
        """All messages that a group member gets, and its last cursor."""
        found = []
        empty = 0
        # Empty pages come between the partitions, too.
        while empty <= self.about.partitions:
            messages, cursor = self.page(cursor, limit)
            found += messages
            empty = 0 if messages else empty + 1
        return found, cursor

    def test_a_group_begins_where_it_committed(self):
        group = self.unique("group")
        mine = self.put(b"one", b"two", key=self.unique("key").encode())
        cursor = self.group_cursor(group, "a", commit_on_get=False)
        found, cursor = self.read_group(cursor)
        places = [(one.partition, one.offset) for one in found]
        self.assertEqual(len(places), len(set(places)))
        self.assertLessEqual({(one.partition, one.offset) for one in mine}, set(places))
        # Nothing was committed, so a new cursor reads the same again; its type counts for a new group only.
        again, cursor = self.read_group(self.group_cursor(group, "a", kind="LATEST", commit_on_get=False))
        self.assertEqual(sorted((one.partition, one.offset) for one in again), sorted(places))
        cursor = self.data.consumer_heartbeat(self.stream, cursor).data.value
        self.data.consumer_commit(self.stream, cursor)
        rest, _ = self.read_group(self.group_cursor(group, "a"))
        self.assertEqual(rest, [])
        later = self.put(b"three", key=self.unique("key").encode())[0]
        rest, _ = self.read_group(self.group_cursor(group, "a"))
        self.assertEqual([(one.partition, one.offset) for one in rest], [(later.partition, later.offset)])

    def test_the_next_get_commits_the_batch_before(self):
        group = self.unique("group")
        self.put(b"one", key=self.unique("key").encode())
        found, _ = self.read_group(self.group_cursor(group, "a"))
        self.assertTrue(found)
        rest, _ = self.read_group(self.group_cursor(group, "a"))
        self.assertEqual(rest, [])

    def test_two_members_share_the_partitions(self):
        if self.about.partitions < 2:
            self.skipTest("one partition cannot be shared")
        group = self.unique("group")
        a, b = self.group_cursor(group, "a", kind="LATEST"), self.group_cursor(group, "b")
        for number in range(30):
            self.put(b"%d" % number, key=self.unique("key").encode())
        a, b = self.read_group(a)[0], self.read_group(b)[0]
        self.assertTrue(a and b)
        self.assertFalse({one.partition for one in a} & {one.partition for one in b})
        self.assertEqual(sorted(base64.b64decode(one.value) for one in a + b), sorted(b"%d" % number for number in range(30)))
