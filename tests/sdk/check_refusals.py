"""Requests that local-oci must refuse, and their neighbours that it must take.

Each is built and signed with the SDK's own signer, then spoilt in one place and sent bare, so that nothing mends it on the way.
"""

import base64
import email.utils
import hashlib
import http.client
import json
import time
from urllib.parse import urlsplit

import oci
from cryptography.hazmat.primitives.asymmetric import rsa
from emulator import API_KEY, RESOURCE_PRINCIPAL, Case
from oci.signer import _PatchedHeaderSigner

SHORT = ["date", "(request-target)", "host"]
LONG = SHORT + ["content-length", "content-type", "x-content-sha256"]


def http_date(offset_seconds=0):
    return email.utils.formatdate(time.time() + offset_seconds, usegmt=True)


class Signed(Case):
    """Signs as the SDK does, and lets each test spoil one thing."""

    @classmethod
    def setUpClass(cls):
        place = urlsplit(cls.cloud.endpoint)
        cls.host, cls.base = place.netloc, place.path
        signer = cls.cloud.signer(cls.principal)
        if cls.principal == RESOURCE_PRINCIPAL:
            # Signs once, so that token and key are loaded.
            cls.client(oci.identity.IdentityClient).list_region_subscriptions(cls.cloud.ready["tenancy"])
        cls.basic = signer._basic_signer
        cls.key = cls.basic._rsa_private
        cls.key_id = cls.basic.signature_template.split('keyId="')[1].split('"')[0]
        tenancy = cls.cloud.ready["tenancy"]
        cls.reading = ("GET", f"/20160918/tenancies/{tenancy}/regionSubscriptions", b"")
        cursors = f"/20180418/streams/{sorted(cls.cloud.ready['streams'].values())[0]}/cursors"
        cls.writing = ("POST", cursors, json.dumps({"partition": "0", "type": "TRIM_HORIZON"}).encode())

    def request(self, of, names=None, headers=None, key=None, key_id=None, then=None, drop=()):
        """Signs method, target and body with the headers of `names`, lets `then` spoil the result, sends it without `drop`."""
        method, target, body = of
        target = self.base + target
        sent = {"host": self.host, "date": http_date()}
        if method != "GET":
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            sent.update({"content-length": str(len(body)), "content-type": "application/json", "x-content-sha256": digest})
        sent.update(headers or {})
        names = names or (SHORT if method == "GET" else LONG)
        signer = _PatchedHeaderSigner(key_id or self.key_id, key or self.key, names)
        signed = signer.sign(sent, host=self.host, method=method, path=target)
        message = {"method": method, "target": target, "body": body, "headers": {**sent, "authorization": signed["authorization"]}}
        if then:
            then(message)
        for name in drop:
            message["headers"].pop(name)
        return self.send(message)

    def send(self, message):
        connection = http.client.HTTPConnection(self.host, timeout=30)
        try:
            connection.putrequest(message["method"], message["target"], skip_host=True, skip_accept_encoding=True)
            for name, value in message["headers"].items():
                connection.putheader(name, value)
            connection.endheaders(message["body"])
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def assert_taken(self, *arguments, **options):
        status, _, body = self.request(*arguments, **options)
        self.assertEqual(status, 200, body)

    def assert_refused(self, *arguments, **options):
        status, headers, body = self.request(*arguments, **options)
        self.assertEqual(status, 401, body)
        error = json.loads(body)
        self.assertEqual(error["code"], "NotAuthenticated")
        self.assertTrue(error["message"])
        self.assertTrue(headers["opc-request-id"])
        # Without it a client could not learn how wrong its clock is.
        self.assertTrue(headers["date"].endswith("GMT"))


class Refusals(Signed):
    def test_what_is_signed_right_is_taken(self):
        self.assert_taken(self.reading)
        self.assert_taken(self.writing)

    def test_order_and_spelling_of_the_parameters_do_not_matter(self):
        def reorder(message):
            scheme, _, rest = message["headers"]["authorization"].partition(" ")
            message["headers"]["authorization"] = f"{scheme} " + ",".join(reversed(rest.split(",")))

        def drop_version(message):
            message["headers"]["authorization"] = message["headers"]["authorization"].replace(',version="1"', "")

        self.assert_taken(self.reading, then=reorder)
        self.assert_taken(self.writing, then=reorder)
        self.assert_taken(self.reading, then=drop_version)
        self.assert_taken(self.writing, names=list(reversed(LONG)))

    def test_a_wrong_signature(self):
        def flip(message):
            head, tail = message["headers"]["authorization"].split('signature="')
            signature, rest = tail.split('"', 1)
            raw = bytearray(base64.b64decode(signature))
            raw[10] ^= 1
            message["headers"]["authorization"] = f'{head}signature="{base64.b64encode(bytes(raw)).decode()}"{rest}'

        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for request in (self.reading, self.writing):
            self.assert_refused(request, then=flip)
            self.assert_refused(request, key=stranger)

    def test_a_malformed_or_missing_authorization(self):
        for value in ("", "Bearer x", "Signature", "Signature nonsense", 'Signature keyId="x"', "Basic dXNlcjpwYXNz"):
            self.assert_refused(self.reading, then=lambda message, value=value: message["headers"].update(authorization=value))
        self.assert_refused(self.reading, drop=["authorization"])
        self.assert_refused(self.writing, drop=["authorization"])

    def test_an_unknown_key(self):
        for key_id in ("nobody", self.cloud.ready["tenancy"] + "/ocid1.user.oc1..nobody/" + ":".join(["00"] * 16), "ST$", "ST$a.b.c"):
            self.assert_refused(self.reading, key_id=key_id)

    def test_a_date_that_is_too_far_off(self):
        for request in (self.reading, self.writing):
            for offset in (-600, -301 - 5, 600, 301 + 5):
                self.assert_refused(request, headers={"date": http_date(offset)})
            for offset in (-240, 240):
                self.assert_taken(request, headers={"date": http_date(offset)})
        self.assert_refused(self.reading, headers={"date": "yesterday"})

    def test_x_date_stands_for_date_and_wins(self):
        names = ["x-date", "(request-target)", "host"]
        self.assert_taken(self.reading, names=names, headers={"x-date": http_date()}, drop=["date"])
        self.assert_taken(self.reading, names=names, headers={"x-date": http_date(), "date": http_date(-9999)})
        self.assert_refused(self.reading, names=names + ["date"], headers={"x-date": http_date(-600)})

    def test_a_header_that_is_not_signed(self):
        for request, names in ((self.reading, SHORT), (self.writing, LONG)):
            for name in names:
                self.assert_refused(request, names=[one for one in names if one != name])

    def test_a_header_that_is_signed_and_not_sent(self):
        self.assert_refused(self.reading, drop=["date"])
        self.assert_refused(self.writing, drop=["date"])
        self.assert_refused(self.writing, drop=["x-content-sha256"])

    def test_a_request_that_was_changed_after_signing(self):
        def retarget(message):
            message["target"] += "?limit=1"

        def rewrite(message):
            message["body"] = message["body"].replace(b"TRIM_HORIZON", b"HORIZON_TRIM")

        def retype(message):
            message["headers"]["content-type"] = "application/octet-stream"

        self.assert_refused(self.reading, then=retarget)
        self.assert_refused(self.writing, then=retarget)
        self.assert_refused(self.writing, then=rewrite)
        self.assert_refused(self.writing, then=retype)
        self.assert_refused(self.reading, then=lambda message: message["headers"].update(host="elsewhere.example"))
        self.assert_refused(self.reading, then=lambda message: message["headers"].update(date=http_date(-5)))

    def test_a_digest_of_another_body(self):
        other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        self.assert_refused(self.writing, headers={"x-content-sha256": other})

    def test_puts_may_be_signed_short_or_in_full(self):
        stream = sorted(self.cloud.ready["streams"].values())[0]
        value = base64.b64encode(b"x").decode()
        messages = ("POST", f"/20180418/streams/{stream}/messages", json.dumps({"messages": [{"value": value}]}).encode())
        name = f"/n/{self.cloud.ready['namespace']}/b/{self.cloud.ready['bucket']}/o/{self.unique('short')}"
        for request in (messages, ("PUT", name, b"body")):
            self.assert_taken(request)
            self.assert_taken(request, names=SHORT)
            self.assert_taken(request, names=SHORT, drop=["x-content-sha256"])
            self.assert_refused(request, names=["date", "host"])

    def test_an_unknown_path_or_method_says_so(self):
        for request, status, code in (
            (("GET", "/20160918/nothing", b""), 404, "NotFound"),
            (("GET", "/nothing", b""), 404, "NotFound"),
            (("PUT", self.reading[1], b"{}"), 405, "MethodNotAllowed"),
        ):
            got, _, body = self.request(request)
            self.assertEqual((got, json.loads(body)["code"]), (status, code))

    def test_a_body_that_is_no_json(self):
        got, _, body = self.request((*self.writing[:2], b"{not json"))
        self.assertEqual(got, 400, body)
        self.assertIn(json.loads(body)["code"], ("CannotParseRequest", "InvalidParameter"))


class Tokens(Signed):
    """What is said in a session token holds only as long as nobody else wrote it."""

    principals = (RESOURCE_PRINCIPAL,)

    def test_a_token_with_changed_claims(self):
        header, payload, signature = self.key_id[len("ST$"):].split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.assertEqual(claims["res_tenant"], self.cloud.ready["tenancy"])
        self.assertGreater(claims["exp"], time.time())
        self.assert_taken(self.reading)
        claims["exp"] += 1
        changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        self.assert_refused(self.reading, key_id=f"ST${header}.{changed}.{signature}")
        self.assert_refused(self.reading, key_id=f"ST${header}.{payload}.")
        self.assert_refused(self.reading, key_id=f"ST${header}.{payload}")

    def test_a_token_with_another_key(self):
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.assert_refused(self.reading, key=stranger)

    def test_the_api_key_does_not_sign_for_the_token(self):
        api_key = oci.signer.load_private_key_from_file(self.cloud.config["key_file"])
        self.assert_refused(self.reading, key=api_key)
        self.assertNotEqual(self.cloud.signer(API_KEY)._basic_signer.signature_template, self.basic.signature_template)
