"""Tests of UmaDB's Python client on dcb's server. Arguments: URL, CA file, key with both permissions, key for reading."""

import sys
import threading
import unittest
import uuid

import umadb

URL, CA, KEY, READ_KEY = sys.argv[1:5]


def connect(key=KEY, **options):
    return umadb.Client(URL, ca_path=CA, api_key=key, **options)


def event(type_, *tags, data=b"data", **more):
    return umadb.Event(event_type=type_, data=data, tags=list(tags), **more)


def query(*tags, types=()):
    return umadb.Query(items=[umadb.QueryItem(types=list(types), tags=list(tags))])


class Client(unittest.TestCase):
    """Each test has its own tag, because all use one server."""

    def setUp(self):
        self.client = connect()
        self.addCleanup(self.client.close)
        self.tag = f"test:{uuid.uuid4()}"

    def condition(self, after=None):
        return umadb.AppendCondition(fail_if_events_match=query(self.tag), after=after)

    def test_append_then_read(self):
        sent = event("Full", self.tag, "ü", data=bytes(range(256)), uuid=uuid.uuid4(), metadata={"b": "1", "a": "2"})
        position = self.client.append([event("Bare", self.tag, data=b""), sent])
        events, head = self.client.read(query(self.tag)).collect_with_head()
        self.assertEqual([e.position for e in events], [position - 1, position])
        got = events[1].event
        self.assertEqual(
            (got.event_type, got.tags, bytes(got.data), got.uuid, got.metadata),
            (sent.event_type, sent.tags, bytes(sent.data), sent.uuid, sent.metadata),
        )
        self.assertIsNone(events[0].event.uuid)
        self.assertIsNone(events[1].tracking_info)
        self.assertEqual(head, self.client.head())

    def test_read_bounds_and_batches(self):
        last = self.client.append([event("T", self.tag) for _ in range(10)])
        positions = list(range(last - 9, last + 1))

        def read(**options):
            return [e.position for e in self.client.read(query(self.tag), **options)]

        self.assertEqual(read(), positions)
        self.assertEqual(read(start=last - 1), positions[-2:])
        self.assertEqual(read(limit=3), positions[:3])
        self.assertEqual(read(backwards=True, limit=2), [last, last - 1])
        self.assertEqual(read(backwards=True, start=last - 8), [last - 8, last - 9])
        self.assertEqual(read(limit=0), [])
        limited = self.client.read(query(self.tag), limit=3)
        self.assertEqual(len(list(limited)), 3)
        self.assertEqual(limited.head(), positions[2])
        small = connect(batch_size=4)
        self.addCleanup(small.close)
        response = small.read(query(self.tag))
        self.assertEqual([len(response.next_batch()) for _ in range(4)], [4, 4, 2, 0])

    def test_read_large_events(self):
        data = b"x" * (3 << 20)
        self.client.append([event("T", self.tag, data=data), event("T", self.tag, data=data)])
        self.assertEqual([len(e.event.data) for e in self.client.read(query(self.tag))], [len(data)] * 2)

    def test_append_condition_fails(self):
        first = self.client.append([event("T", self.tag)], self.condition())
        with self.assertRaises(umadb.IntegrityError):
            self.client.append([event("T", self.tag)], self.condition())
        second = self.client.append([event("T", self.tag)], self.condition(after=first))
        with self.assertRaises(umadb.IntegrityError):
            self.client.append([event("T", self.tag)], self.condition(after=first))
        self.assertEqual([e.position for e in self.client.read(query(self.tag))], [first, second])

    def test_append_with_ids_is_recorded_once(self):
        events = [event("T", self.tag, uuid=uuid.uuid4()) for _ in range(2)]
        position = self.client.append(events, self.condition())
        self.assertEqual(self.client.append(events, self.condition()), position)
        with self.assertRaises(umadb.IntegrityError):
            self.client.append(events[:1] + [event("Other", self.tag, uuid=events[1].uuid)])
        self.assertEqual(len(list(self.client.read(query(self.tag)))), 2)

    def test_append_nothing(self):
        self.assertEqual(self.client.append([]), 0)

    def test_subscribe_catches_up_and_continues(self):
        before = self.client.head()
        first = self.client.append([event("T", self.tag)])
        subscription = self.client.subscribe(query(self.tag), after=before)
        self.assertEqual(next(subscription).position, first)
        received = []
        thread = threading.Thread(target=lambda: received.append(next(subscription).position))
        thread.start()
        other = self.client.append([event("T", "other")])
        second = self.client.append([event("T", self.tag)])
        thread.join(120)
        self.assertEqual(received, [second])
        self.assertEqual(other, second - 1)
        subscription.cancel()
        with self.assertRaises(umadb.CancelledByUserError):
            next(subscription)

    def test_tracking_position_only_increases(self):
        source = f"source {self.tag}"
        self.assertIsNone(self.client.get_tracking_info(source))
        position = self.client.append([event("T", self.tag)], tracking_info=umadb.TrackingInfo(source, 5))
        self.assertEqual(self.client.get_tracking_info(source), 5)
        for late in (4, 5):
            with self.assertRaises(umadb.IntegrityError):
                self.client.append([event("T", self.tag)], tracking_info=umadb.TrackingInfo(source, late))
        with self.assertRaises(umadb.IntegrityError):
            self.client.append([event("T", self.tag)], self.condition(), umadb.TrackingInfo(source, 6))
        self.client.append([event("T", self.tag)], self.condition(after=position), umadb.TrackingInfo(source, 6))
        self.assertEqual(self.client.append([], None, umadb.TrackingInfo(source, 9)), 0)
        self.assertEqual(self.client.get_tracking_info(source), 9)
        events = list(self.client.read(query(self.tag)))
        self.assertEqual([e.tracking_info for e in events], [umadb.TrackingInfo(source, n) for n in (5, 6)])
        self.assertEqual([e.event.tags for e in events], [[self.tag]] * 2)
        self.assertEqual([e.event.metadata for e in events], [{}] * 2)

    def test_append_refuses_invalid_events(self):
        for wrong in (event("", self.tag), event("T", ""), event("T", "dcb:tracking:x")):
            with self.assertRaises(ValueError):
                self.client.append([wrong])

    def test_keys_and_permissions(self):
        for key in (None, "a wrong key of a good length"):
            with self.assertRaises(umadb.AuthenticationError):
                list(connect(key).read())
            with self.assertRaises(umadb.AuthenticationError):
                connect(key).append([event("T", self.tag)])
        reader = connect(READ_KEY)
        self.addCleanup(reader.close)
        list(reader.read(query(self.tag)))
        with self.assertRaises(umadb.AuthenticationError):
            reader.append([event("T", self.tag)])

    def test_health_needs_no_key(self):
        client = connect(None)
        self.addCleanup(client.close)
        for service in ("", "umadb.v1.DCB"):
            self.assertEqual(client.check_health(service), umadb.ServingStatus.SERVING)
        watch = client.watch_health("umadb.v1.DCB")
        self.assertEqual(next(watch), umadb.ServingStatus.SERVING)
        watch.cancel()


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
