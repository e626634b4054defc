"""Object Storage: objects byte for byte, preconditions, listings, renames."""

import base64
import hashlib
import io
import threading

import oci
from emulator import Case
from oci.object_storage.models import RenameObjectDetails

ETAG = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
STALE = "00000000-0000-0000-0000-000000000000"


class ObjectStorage(Case):
    @classmethod
    def setUpClass(cls):
        cls.storage = cls.client(oci.object_storage.ObjectStorageClient)
        cls.place = (cls.cloud.ready["namespace"], cls.cloud.ready["bucket"])

    def put(self, name, body=b"body", **options):
        return self.storage.put_object(*self.place, name, body, **options)

    def get(self, name, **options):
        return self.storage.get_object(*self.place, name, **options)

    def content(self, name):
        return self.get(name).data.content

    def rename(self, source, target, **options):
        details = RenameObjectDetails(source_name=source, new_name=target, **options)
        return self.storage.rename_object(*self.place, details)

    def names(self, **options):
        return [one.name for one in self.storage.list_objects(*self.place, **options).data.objects]

    def test_the_namespace_is_bare_text(self):
        self.assertEqual(self.storage.get_namespace().data, self.cloud.ready["namespace"])

    def test_the_bucket_is_there(self):
        bucket = self.storage.get_bucket(*self.place).data
        self.assertEqual((bucket.namespace, bucket.name), self.place)

    def test_an_object_comes_back_byte_for_byte_with_its_headers(self):
        name = self.unique("object")
        body = bytes(range(256)) * 100
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        put = self.put(name, body, content_type="application/x-test", content_md5=md5, content_encoding="gzip",
                       opc_meta={"Reason": "why", "attempts": "3"})
        self.assertRegex(put.headers["etag"], ETAG)
        self.assertEqual(put.headers["opc-content-md5"], md5)
        self.assertIn("last-modified", put.headers)
        for answer in (self.get(name), self.storage.head_object(*self.place, name)):
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["etag"], put.headers["etag"])
            self.assertEqual(answer.headers["content-length"], str(len(body)))
            self.assertEqual(answer.headers["content-type"], "application/x-test")
            self.assertEqual(answer.headers["content-encoding"], "gzip")
            self.assertEqual(answer.headers["content-md5"], md5)
            self.assertIn("last-modified", answer.headers)
            self.assertEqual((answer.headers["opc-meta-reason"], answer.headers["opc-meta-attempts"]), ("why", "3"))
        # The stored bytes are no gzip; they must come as they are, whatever the header says.
        self.assertEqual(self.get(name).data.raw.read(decode_content=False), body)

    def test_bodies_of_any_size(self):
        for size in (0, 1, 65_537, 3_000_000):
            name = self.unique("size")
            body = hashlib.sha256(b"%d" % size).digest() * (size // 32 + 1)
            self.put(name, body[:size])
            self.assertEqual(self.content(name), body[:size])

    def test_a_file_may_be_put(self):
        name = self.unique("file")
        self.put(name, io.BytesIO(b"from a file"))
        self.assertEqual(self.content(name), b"from a file")

    def test_names_of_all_kinds(self):
        prefix = self.unique("names") + "/"
        names = sorted((prefix + name for name in ("a b", "a+b", "a%2Fb", "a/b/c", "ü€😀", "q?x=1&y#z", "tilde~-_.", "'\"(){}|", "owed/~0", "..", ".")),
                       key=lambda name: name.encode())
        for name in names:
            self.put(name, name.encode())
        for name in names:
            self.assertEqual(self.content(name), name.encode())
        self.assertEqual(self.names(prefix=prefix), names)
        for name in names:
            self.storage.delete_object(*self.place, name)
        self.assertEqual(self.names(prefix=prefix), [])

    def test_parts_of_an_object(self):
        name = self.unique("parts")
        self.put(name, b"0123456789")
        for asked, got, place in [
            ("bytes=0-3", b"0123", "bytes 0-3/10"),
            ("bytes=4-", b"456789", "bytes 4-9/10"),
            ("bytes=-3", b"789", "bytes 7-9/10"),
            ("bytes=8-99", b"89", "bytes 8-9/10"),
        ]:
            answer = self.get(name, range=asked)
            self.assertEqual((answer.status, answer.headers["content-range"], answer.data.content), (206, place, got))
            self.assertEqual(answer.headers["content-length"], str(len(got)))
        for asked in ("bytes=10-", "bytes=99-100"):
            with self.refused(416, "InvalidRange"):
                self.get(name, range=asked)

    def test_a_part_is_pinned_to_a_version(self):
        name = self.unique("pinned")
        etag = self.put(name, b"0123456789").headers["etag"]
        answer = self.get(name, range="bytes=2-5", if_match=etag)
        self.assertEqual((answer.status, answer.data.content, answer.headers["etag"]), (206, b"2345", etag))
        self.put(name, b"9876543210")
        with self.refused(412, "IfMatchFailed"):
            self.get(name, range="bytes=2-5", if_match=etag)
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.storage.head_object(*self.place, name, if_match=etag)
        self.assertEqual(raised.exception.status, 412)

    def test_create_only_creates_once(self):
        name = self.unique("once")
        self.put(name, b"first", if_none_match="*")
        with self.refused(412, "IfNoneMatchFailed"):
            self.put(name, b"second", if_none_match="*")
        self.assertEqual(self.content(name), b"first")
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.put(name, b"third", if_none_match=STALE)
        self.assertEqual(raised.exception.status, 400, "`*` is the only legal value")

    def test_compare_and_set(self):
        name = self.unique("cas")
        etag = self.put(name, b"1").headers["etag"]
        with self.refused(412, "IfMatchFailed"):
            self.put(name, b"2", if_match=STALE)
        newer = self.put(name, b"2", if_match=etag).headers["etag"]
        self.assertNotEqual(newer, etag)
        with self.refused(412, "IfMatchFailed"):
            self.put(name, b"3", if_match=etag)
        self.assertEqual(self.content(name), b"2")
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.put(self.unique("absent"), b"1", if_match=etag)
        self.assertIn(raised.exception.status, (404, 412))

    def test_a_put_again_changes_the_etag_even_with_the_same_bytes(self):
        name = self.unique("etag")
        self.assertNotEqual(self.put(name, b"same").headers["etag"], self.put(name, b"same").headers["etag"])

    def test_racing_creators_have_one_winner(self):
        name = self.unique("race")
        outcomes = []

        def create(number):
            try:
                outcomes.append((200, self.client(oci.object_storage.ObjectStorageClient).put_object(
                    *self.place, name, b"%d" % number, if_none_match="*") and number))
            except oci.exceptions.ServiceError as error:
                outcomes.append((error.status, number))

        threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        winners = [number for status, number in outcomes if status == 200]
        self.assertEqual((len(winners), sorted(status for status, _ in outcomes)), (1, [200] + [412] * 7))
        self.assertEqual(self.content(name), b"%d" % winners[0])

    def test_conditional_reads(self):
        name = self.unique("conditional")
        etag = self.put(name).headers["etag"]
        self.assertEqual(self.get(name, if_match=etag).status, 200)
        self.assertEqual(self.get(name, if_none_match=STALE).status, 200)
        with self.refused(412, "IfMatchFailed"):
            self.get(name, if_match=STALE)
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.get(name, if_none_match=etag)
        self.assertEqual(raised.exception.status, 304)

    def test_delete_heeds_its_precondition(self):
        name = self.unique("delete")
        etag = self.put(name).headers["etag"]
        with self.refused(412, "IfMatchFailed"):
            self.storage.delete_object(*self.place, name, if_match=STALE)
        self.assertEqual(self.content(name), b"body")
        self.assertEqual(self.storage.delete_object(*self.place, name, if_match=etag).status, 204)
        for call in (self.get, lambda name: self.storage.delete_object(*self.place, name)):
            with self.refused(404, "ObjectNotFound"):
                call(name)

    def test_a_wrong_md5_is_refused(self):
        name = self.unique("md5")
        wrong = base64.b64encode(hashlib.md5(b"else").digest()).decode()
        with self.refused(400, "UnmatchedContentMD5"):
            self.put(name, content_md5=wrong)
        with self.refused(404, "ObjectNotFound"):
            self.get(name)

    def test_what_is_missing_says_what(self):
        namespace, bucket = self.place
        with self.refused(404, "ObjectNotFound"):
            self.get(self.unique("absent"))
        for call in (self.storage.get_object, self.storage.put_object):
            with self.refused(404, "BucketNotFound"):
                call(namespace, "nobody", "name", *([b""] if call == self.storage.put_object else []))
        with self.refused(404, "BucketNotFound"):
            self.storage.get_bucket(namespace, "nobody")
        with self.refused(404, "NamespaceNotFound"):
            self.storage.list_objects("nobody", bucket)
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.storage.head_object(namespace, bucket, self.unique("absent"))
        self.assertEqual(raised.exception.status, 404)

    def test_listings(self):
        prefix = self.unique("list") + "/"
        for name in ("a", "b/1", "b/2", "c/1/x", "d", "e"):
            self.put(prefix + name)
        whole = [prefix + name for name in ("a", "b/1", "b/2", "c/1/x", "d", "e")]
        self.assertEqual(self.names(prefix=prefix), whole)
        self.assertEqual(self.names(prefix=prefix + "b"), whole[1:3])
        self.assertEqual(self.names(prefix=prefix, start=whole[2]), whole[2:])
        self.assertEqual(self.names(prefix=prefix, start_after=whole[2]), whole[3:])
        self.assertEqual(self.names(prefix=prefix, end=whole[2]), whole[:2])
        self.assertEqual(self.names(prefix=prefix, start=whole[1], end=whole[4]), whole[1:4])
        folders = self.storage.list_objects(*self.place, prefix=prefix, delimiter="/").data
        self.assertEqual([one.name for one in folders.objects], [whole[0], whole[4], whole[5]])
        self.assertEqual(folders.prefixes, [prefix + "b/", prefix + "c/"])

    def test_a_listing_gives_names_only_unless_asked(self):
        name = self.unique("fields")
        etag = self.put(name, b"12345").headers["etag"]
        bare = self.storage.list_objects(*self.place, prefix=name).data.objects[0]
        self.assertEqual((bare.name, bare.size, bare.etag, bare.md5, bare.time_created), (name, None, None, None, None))
        full = self.storage.list_objects(*self.place, prefix=name, fields="name,size,etag,md5,timeCreated,timeModified").data.objects[0]
        self.assertEqual((full.size, full.etag, full.md5), (5, etag, base64.b64encode(hashlib.md5(b"12345").digest()).decode()))
        self.assertTrue(full.time_created and full.time_modified)

    def test_listings_in_pages(self):
        prefix = self.unique("pages") + "/"
        whole = [f"{prefix}{number:02}" for number in range(11)]
        for name in whole:
            self.put(name)
        for limit in (1, 4, 11, 1000):
            found, start = [], None
            while True:
                answer = self.storage.list_objects(*self.place, prefix=prefix, limit=limit, **({"start": start} if start else {})).data
                self.assertLessEqual(len(answer.objects), limit)
                found += [one.name for one in answer.objects]
                start = answer.next_start_with
                if not start:
                    break
            self.assertEqual(found, whole)
        every = oci.pagination.list_call_get_all_results(self.storage.list_objects, *self.place, prefix=prefix, limit=3)
        self.assertEqual([one.name for one in every.data.objects], whole)

    def test_a_listing_sees_each_write_at_once(self):
        prefix = self.unique("fresh")
        for number in range(5):
            self.put(f"{prefix}-{number}")
            self.assertEqual(len(self.names(prefix=prefix)), number + 1)

    def test_rename_moves_the_bytes(self):
        source, target = self.unique("source/a b"), self.unique("target/ü")
        self.put(source, b"moved", content_type="application/x-test", opc_meta={"k": "v"})
        answer = self.rename(source, target, new_obj_if_none_match_e_tag="*")
        self.assertRegex(answer.headers["etag"], ETAG)
        moved = self.get(target)
        self.assertEqual((moved.data.content, moved.headers["content-type"], moved.headers["opc-meta-k"]), (b"moved", "application/x-test", "v"))
        with self.refused(404, "ObjectNotFound"):
            self.get(source)
        with self.refused(404, "ObjectNotFound"):
            self.rename(source, target)

    def test_rename_heeds_its_preconditions(self):
        source, target = self.unique("source"), self.unique("target")
        etag = self.put(source, b"source").headers["etag"]
        other = self.put(target, b"target").headers["etag"]
        with self.assertRaises(oci.exceptions.ServiceError) as raised:
            self.rename(source, target, new_obj_if_none_match_e_tag="*")
        self.assertEqual(raised.exception.status, 412)
        for options in ({"src_obj_if_match_e_tag": STALE}, {"new_obj_if_match_e_tag": STALE}):
            with self.assertRaises(oci.exceptions.ServiceError) as raised:
                self.rename(source, target, **options)
            self.assertEqual(raised.exception.status, 412)
        self.assertEqual((self.content(source), self.content(target)), (b"source", b"target"))
        self.rename(source, target, src_obj_if_match_e_tag=etag, new_obj_if_match_e_tag=other)
        self.assertEqual(self.content(target), b"source")

    def test_rename_is_pinned_to_a_version_of_its_source(self):
        source, target = self.unique("source/a+b c"), self.unique("target/a%2Fb")
        stale = self.put(source, b"1").headers["etag"]
        etag = self.put(source, b"2").headers["etag"]
        with self.refused(412, "IfMatchFailed"):
            self.rename(source, target, src_obj_if_match_e_tag=stale)
        self.assertEqual(self.content(source), b"2")
        self.rename(source, target, src_obj_if_match_e_tag=etag)
        self.assertEqual(self.content(target), b"2")
        with self.refused(404, "ObjectNotFound"):
            self.rename(source, target, src_obj_if_match_e_tag=etag)

    def test_rename_overwrites_where_nothing_forbids_it(self):
        source, target = self.unique("source"), self.unique("target")
        self.put(source, b"source")
        self.put(target, b"target")
        self.rename(source, target)
        self.assertEqual(self.content(target), b"source")
        self.assertEqual(self.names(prefix=source), [])
