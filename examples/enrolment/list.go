package enrolment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// namesPerRead limits the items of one query; a query may have dcb.MaxQueryItems.
const namesPerRead = 1000

// ListStudents implements Enrolment.
func (a *App) ListStudents(ctx context.Context, course CourseID) ([]string, error) {
	students, found, err := a.joined(ctx, CourseRegistered, string(course), "student:")
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrCourseNotFound
	}
	return a.names(ctx, StudentRegistered, students)
}

// ListCourses implements Enrolment.
func (a *App) ListCourses(ctx context.Context, student StudentID) ([]string, error) {
	courses, found, err := a.joined(ctx, StudentRegistered, string(student), "course:")
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, ErrStudentNotFound
	}
	return a.names(ctx, CourseRegistered, courses)
}

// joined returns the tags with the prefix of everything that the tag one joined, and whether one
// is registered.
func (a *App) joined(ctx context.Context, registered, one, prefix string) (others []string, found bool, err error) {
	query := dcb.Query{{Types: []string{registered, StudentJoinedCourse}, Tags: []string{one}}}
	for event, err := range dcb.Stream(ctx, a.store, query, dcb.ReadOptions{}) {
		if err != nil {
			return nil, false, fmt.Errorf("enrolment: %w", err)
		}
		if event.Type == registered {
			found = true
			continue
		}
		for _, tag := range event.Tags {
			if strings.HasPrefix(tag, prefix) {
				others = append(others, tag)
			}
		}
	}
	return others, found, nil
}

// names returns the names that the tags were registered with, in the order of tags.
func (a *App) names(ctx context.Context, registered string, tags []string) ([]string, error) {
	nameOf := make(map[string]string, len(tags))
	for some := range slices.Chunk(tags, namesPerRead) {
		var query dcb.Query
		for _, tag := range some {
			query = append(query, dcb.QueryItem{Types: []string{registered}, Tags: []string{tag}})
		}
		result, err := a.store.Read(ctx, query, dcb.ReadOptions{})
		if err != nil {
			return nil, fmt.Errorf("enrolment: %w", err)
		}
		for _, event := range result.Events {
			var data struct {
				Name string `json:"name"`
			}
			if err := decode(event, &data); err != nil {
				return nil, err
			}
			nameOf[event.Tags[0]] = data.Name
		}
	}
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = nameOf[tag]
	}
	return names, nil
}
