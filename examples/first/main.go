// Command first is the program of the README: three students want the two seats of a course.
package main

import (
	"context"
	"fmt"

	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// StudentJoined is the only type of event.
type StudentJoined struct {
	Student string `dcb:"student"` // the tag student:ann
	Course  string `dcb:"course"`  // the tag course:go
}

func main() {
	runner := decide.New(memstore.New(nil), decide.NewCodec(decide.Type[StudentJoined]("StudentJoined")), nil)
	for _, student := range []string{"ann", "bob", "cid"} {
		taken := decide.NewProjection(0, decide.On(func(n int, _ StudentJoined) int { return n + 1 })).Tagged("course", "go")
		_, err := runner.Do(context.Background(), func() ([]any, error) {
			if taken.State() == 2 {
				return nil, fmt.Errorf("the course is full")
			}
			return decide.Events(StudentJoined{student, "go"}), nil
		}, taken) // if a student joined the course in between, Do reads that event and decides again
		fmt.Println(student, "joins:", err)
	}
}
