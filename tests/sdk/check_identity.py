"""Identity: regions, the tenancy, the tree of compartments."""

import oci
from emulator import Case, every_page

UNKNOWN = "ocid1.compartment.oc1..aaaaaaaanobody"


class Identity(Case):
    @classmethod
    def setUpClass(cls):
        cls.identity = cls.client(oci.identity.IdentityClient)
        cls.tenancy = cls.cloud.ready["tenancy"]

    def ids(self, **options):
        options = {"compartment_id": self.tenancy, **options}
        return [one.id for one in oci.pagination.list_call_get_all_results(self.identity.list_compartments, **options).data]

    def test_regions_are_ready_and_one_is_home(self):
        regions = self.identity.list_region_subscriptions(self.tenancy).data
        self.assertEqual([one.region_name for one in regions if one.is_home_region], [self.cloud.ready["region"]])
        self.assertEqual({one.status for one in regions}, {"READY"})
        self.assertTrue(all(one.region_key == one.region_key.upper() for one in regions))

    def test_the_tenancy_names_its_home(self):
        tenancy = self.identity.get_tenancy(self.tenancy).data
        home = [one for one in self.identity.list_region_subscriptions(self.tenancy).data if one.is_home_region][0]
        self.assertEqual((tenancy.id, tenancy.home_region_key), (self.tenancy, home.region_key))

    def test_another_tenancy_is_not_found(self):
        for call in (self.identity.get_tenancy, self.identity.list_region_subscriptions):
            with self.refused(404, "NotAuthorizedOrNotFound"):
                call("ocid1.tenancy.oc1..aaaaaaaanobody")

    def test_the_root_is_never_listed_and_every_parent_is_known(self):
        found = oci.pagination.list_call_get_all_results(
            self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True).data
        ids = {one.id for one in found}
        self.assertEqual(len(ids), len(found))
        self.assertNotIn(self.tenancy, ids)
        self.assertLessEqual({one.compartment_id for one in found}, ids | {self.tenancy})
        self.assertTrue(all(one.time_created and one.lifecycle_state and one.name for one in found))

    def test_without_the_subtree_only_children_are_listed(self):
        everything = oci.pagination.list_call_get_all_results(
            self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True).data
        for parent in [self.tenancy] + [one.id for one in everything]:
            children = {one.id for one in everything if one.compartment_id == parent}
            self.assertEqual(set(self.ids(compartment_id=parent)), children)

    def test_pages_of_any_size_add_up(self):
        whole = self.ids(compartment_id_in_subtree=True)
        for limit in (1, 2, 5, 1000):
            pages = every_page(self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True, limit=limit)
            self.assertTrue(all(len(page.data) <= limit for page in pages))
            self.assertEqual([one.id for page in pages for one in page.data], whole)

    def test_a_page_may_be_empty_with_another_behind_it(self):
        pages = every_page(self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True, limit=3)
        self.assertIn(0, [len(page.data) for page in pages[:-1]])

    def test_filters_and_order(self):
        whole = oci.pagination.list_call_get_all_results(
            self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True, sort_by="NAME", sort_order="ASC").data
        names = [one.name for one in whole]
        self.assertEqual(names, sorted(names))
        self.assertEqual(self.ids(compartment_id_in_subtree=True, sort_by="NAME", sort_order="DESC"), [one.id for one in reversed(whole)])
        one = whole[0]
        self.assertIn(one.id, self.ids(compartment_id_in_subtree=True, name=one.name))
        self.assertLess(len(self.ids(compartment_id_in_subtree=True, name=one.name)), len(whole))
        self.assertEqual(self.ids(compartment_id_in_subtree=True, name="nobody"), [])
        active = [one.id for one in whole if one.lifecycle_state == "ACTIVE"]
        self.assertEqual(set(self.ids(compartment_id_in_subtree=True, lifecycle_state="ACTIVE")), set(active))
        self.assertLessEqual(set(self.ids(compartment_id_in_subtree=True, access_level="ACCESSIBLE")), {one.id for one in whole})

    def test_the_subtree_is_the_tenancys_alone(self):
        child = self.ids(compartment_id_in_subtree=True)[0]
        with self.refused(400, "InvalidParameter"):
            self.identity.list_compartments(child, compartment_id_in_subtree=True)

    def test_one_compartment_by_its_id(self):
        listed = oci.pagination.list_call_get_all_results(
            self.identity.list_compartments, self.tenancy, compartment_id_in_subtree=True, access_level="ANY").data
        self.assertTrue(listed)
        for one in listed[:3]:
            got = self.identity.get_compartment(one.id).data
            self.assertEqual((got.id, got.name, got.compartment_id), (one.id, one.name, one.compartment_id))

    def test_an_unknown_compartment_is_not_found(self):
        for call in (self.identity.get_compartment, self.identity.list_compartments):
            with self.refused(404, "NotAuthorizedOrNotFound"):
                call(UNKNOWN)

    def test_a_page_token_that_is_none_is_refused(self):
        with self.refused(400, "InvalidParameter"):
            self.identity.list_compartments(self.tenancy, page="no token")
