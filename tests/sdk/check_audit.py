"""Audit: events of one compartment and region by processed time, in pages, as the SDK models them."""

import datetime

import oci
from emulator import Case, every_page

MINUTE = datetime.timedelta(minutes=1)


class Audit(Case):
    @classmethod
    def setUpClass(cls):
        cls.identity = cls.client(oci.identity.IdentityClient)
        cls.tenancy = cls.cloud.ready["tenancy"]
        # The emulator's day lies around now. Half an hour ago is settled: nothing arrives there while the tests run.
        now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
        cls.start, cls.end = now - 11 * 60 * MINUTE, now - 30 * MINUTE
        cls.regions = [one.region_name for one in cls.identity.list_region_subscriptions(cls.tenancy).data]
        found = oci.pagination.list_call_get_all_results(
            cls.identity.list_compartments, cls.tenancy, compartment_id_in_subtree=True, access_level="ANY").data
        cls.compartments = [cls.tenancy] + [one.id for one in found]

    def events(self, compartment, start, end, region=None):
        audit = self.client(oci.audit.AuditClient, region)
        return oci.pagination.list_call_get_all_results(audit.list_events, compartment, start, end).data

    def busiest(self):
        """A compartment and region with the most events, and those."""
        best = max(((len(self.events(compartment, self.start, self.end, region)), compartment, region)
                    for compartment in self.compartments for region in self.regions))
        return best[1], best[2], self.events(best[1], self.start, self.end, best[2])

    def test_every_scope_has_its_own_events(self):
        seen = set()
        for region in self.regions:
            for compartment in self.compartments:
                for event in self.events(compartment, self.start, self.end, region):
                    self.assertEqual(event.data.compartment_id, compartment)
                    self.assertNotIn(event.event_id, seen)
                    seen.add(event.event_id)
        self.assertGreater(len(seen), 100)

    def test_home_is_what_answers_without_a_region(self):
        home = self.cloud.ready["region"]
        by_name = self.events(self.tenancy, self.start, self.end, home)
        self.assertEqual([one.event_id for one in self.events(self.tenancy, self.start, self.end)], [one.event_id for one in by_name])

    def test_events_are_as_the_sdk_models_them(self):
        _, _, events = self.busiest()
        for event in events:
            self.assertTrue(event.event_type and event.source and event.event_time)
            self.assertEqual((event.event_type_version, event.cloud_events_version, event.content_type), ("2.0", "0.1", "application/json"))
            self.assertTrue(event.data.event_name)
            if event.data.response:
                self.assertIsInstance(event.data.response.status, (str, type(None)))
            if event.data.request and event.data.request.headers:
                self.assertTrue(all(isinstance(value, list) for value in event.data.request.headers.values()))

    def test_the_end_is_excluded_and_windows_tile(self):
        compartment, region, whole = self.busiest()
        found = []
        start = self.start
        while start < self.end:
            end = min(start + 97 * MINUTE, self.end)
            found += [one.event_id for one in self.events(compartment, start, end, region)]
            start = end
        self.assertEqual(len(found), len(set(found)))
        self.assertEqual(sorted(found), sorted(one.event_id for one in whole))

    def test_long_answers_come_in_pages(self):
        compartment, region, whole = self.busiest()
        audit = self.client(oci.audit.AuditClient, region)
        pages = every_page(audit.list_events, compartment, self.start, self.end)
        self.assertEqual([one.event_id for page in pages for one in page.data], [one.event_id for one in whole])
        self.assertGreater(len(pages), 1)

    def test_a_window_without_events_is_an_empty_page(self):
        self.assertEqual(self.events(self.tenancy, self.start - 9000 * MINUTE, self.start - 8990 * MINUTE), [])

    def test_times_that_make_no_window_are_refused(self):
        for start, end in ((self.end, self.start), (self.start, self.start)):
            with self.assertRaises(oci.exceptions.ServiceError) as raised:
                self.events(self.tenancy, start, end)
            self.assertEqual((raised.exception.status, raised.exception.code), (400, "InvalidParameter"))

    def test_an_unknown_compartment_or_page_is_refused(self):
        audit = self.client(oci.audit.AuditClient)
        with self.refused(404, "NotAuthorizedOrNotFound"):
            audit.list_events("ocid1.compartment.oc1..aaaaaaaanobody", self.start, self.end)
        with self.refused(400, "InvalidParameter"):
            audit.list_events(self.tenancy, self.start, self.end, page="no token")

    def test_events_are_kept_for_a_year(self):
        answer = self.client(oci.audit.AuditClient).get_configuration(self.tenancy).data
        self.assertEqual(answer.retention_period_days, 365)
