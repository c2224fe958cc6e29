"""The library eventsourcing with its UmaDB package on dcb's server: its test of recorders, and the course example. Argument: URL."""

import sys
import threading
import unittest
from dataclasses import replace
from uuid import uuid4

import umadb
from eventsourcing.dataclasses import DcbApplication, Decision, EnduringObject, Group
from eventsourcing.dcb import tests
from eventsourcing.domain import event, triggers
from eventsourcing.persistence import IntegrityError
from eventsourcing_umadb.recorders import UmaDbDcbRecorder

URL = sys.argv[1]
ENVIRONMENT = {"PERSISTENCE_MODULE": "eventsourcing_umadb", "UMADB_URI": URL}


class OnceRecorder(UmaDbDcbRecorder):
    """The library's test appends one event seven times and expects seven. dcb's server records an event with an ID once, so this recorder
    gives a repeated event a new ID."""

    def __init__(self, client):
        super().__init__(client)
        self.sent = set()

    def append(self, events, condition=None):
        events = [replace(e, uuid=uuid4()) if e.uuid in self.sent else e for e in events]
        position = super().append(events, condition)
        self.sent.update(e.uuid for e in events)
        return position


class PatientSubscriber(tests.EnsureSubscriptionBlockAndReceive):
    """The library's test waits one second for an event, which is too short on a loaded machine. This one waits two minutes. Like the
    library's, it waits half a second to see that no event arrives early."""

    class Received(threading.Event):
        def wait(self, timeout=None):
            return super().wait(120 if timeout == 1 else timeout)

    def start(self):
        self.has_received = self.Received()
        super().start()


tests.EnsureSubscriptionBlockAndReceive = PatientSubscriber


class ARecorder(tests.DcbRecorderTestCase):
    """The library's tests of recorders. Some need an empty store, so this is the first class."""

    def test_append_read_and_subscribe(self):
        client = umadb.Client(URL)
        self.addCleanup(client.close)
        self._test_append_read(OnceRecorder(client))
        self._test_append_subscribe(OnceRecorder(client), initial_position=client.head() or 0)


class StudentJoinedCourse(Decision):
    student_id: str
    course_id: str


class Student(EnduringObject):
    class Registered(Decision):
        student_id: str
        name: str
        max_courses: int

    @triggers(Registered)
    def __init__(self, *, name: str, max_courses: int) -> None:
        self.name = name
        self.max_courses = max_courses
        self.course_ids: list[str] = []

    @event(StudentJoinedCourse)
    def _(self, course_id: str) -> None:
        self.course_ids.append(course_id)


class Course(EnduringObject):
    class Registered(Decision):
        course_id: str
        name: str
        places: int

    @triggers(Registered)
    def __init__(self, *, name: str, places: int) -> None:
        self.name = name
        self.places = places
        self.student_ids: list[str] = []

    @event(StudentJoinedCourse)
    def _(self, student_id: str) -> None:
        self.student_ids.append(student_id)


class TooManyCoursesError(Exception):
    pass


class FullyBookedError(Exception):
    pass


class AlreadyJoinedError(Exception):
    pass


class StudentAndCourse(Group):
    def __init__(self, student: Student, course: Course) -> None:
        self.student = student
        self.course = course

    def student_joins_course(self) -> None:
        if len(self.student.course_ids) >= self.student.max_courses:
            raise TooManyCoursesError
        if len(self.course.student_ids) >= self.course.places:
            raise FullyBookedError
        if self.student.id in self.course.student_ids:
            raise AlreadyJoinedError
        self.trigger_event(StudentJoinedCourse, (), student_id=self.student.id, course_id=self.course.id)


class Enrolment(DcbApplication):
    def register_student(self, name: str, max_courses: int) -> str:
        student = Student(name=name, max_courses=max_courses)
        self.repository.save(student)
        return student.id

    def register_course(self, name: str, places: int) -> str:
        course = Course(name=name, places=places)
        self.repository.save(course)
        return course.id

    def join_course(self, student_id: str, course_id: str) -> None:
        group = self.repository.get_group(StudentAndCourse, student_id, course_id)
        group.student_joins_course()
        self.repository.save(group)

    def students_of(self, course_id: str) -> list[str]:
        return self.repository.get(course_id, Course).student_ids

    def courses_of(self, student_id: str) -> list[str]:
        return self.repository.get(student_id, Student).course_ids


class Courses(unittest.TestCase):
    def setUp(self):
        self.app = Enrolment(env=ENVIRONMENT)
        self.addCleanup(self.app.close)

    def test_students_join_courses(self):
        max1 = self.app.register_student("Max", max_courses=1)
        bob = self.app.register_student("Bob", max_courses=10)
        sara = self.app.register_student("Sara", max_courses=10)
        dcb = self.app.register_course("Dynamic Consistency Boundaries", places=2)
        other = self.app.register_course("Something else", places=10)

        self.app.join_course(max1, dcb)
        self.app.join_course(bob, dcb)
        with self.assertRaises(TooManyCoursesError):
            self.app.join_course(max1, other)
        with self.assertRaises(FullyBookedError):
            self.app.join_course(sara, dcb)
        self.app.join_course(sara, other)
        with self.assertRaises(AlreadyJoinedError):
            self.app.join_course(sara, other)

        self.assertEqual(self.app.students_of(dcb), [max1, bob])
        self.assertEqual(self.app.courses_of(max1), [dcb])
        self.assertEqual(self.app.courses_of(sara), [other])

    def test_last_place_is_taken_once(self):
        course = self.app.register_course("One place", places=1)
        students = [self.app.register_student(f"Student {n}", max_courses=1) for n in range(8)]
        outcomes = []
        start = threading.Barrier(len(students))

        def join(student):
            start.wait()
            try:
                self.app.join_course(student, course)
                outcomes.append("joined")
            except (IntegrityError, FullyBookedError) as refused:
                outcomes.append(type(refused).__name__)

        threads = [threading.Thread(target=join, args=(student,)) for student in students]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(outcomes.count("joined"), 1, outcomes)
        self.assertEqual(len(outcomes), len(students))
        self.assertEqual(len(self.app.students_of(course)), 1)

    def test_subscription(self):
        before = self.app.recorder.head()
        student = self.app.register_student("Eve", max_courses=1)
        with self.app.application_subscription(gt=before) as subscription:
            tagged, tracking = next(subscription)
        self.assertIsInstance(tagged.decision, Student.Registered)
        self.assertEqual(tagged.tags, [student])
        self.assertGreater(tracking.notification_id, before or 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
