// Command first is the program of the README: a course has two seats, and three students want one.
package main

import (
	"context"
	"fmt"

	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// StudentJoined is what happens.
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
		}, taken) // recorded only if nobody joined the course since taken was read; otherwise asked again
		fmt.Println(student, "joins:", err)
	}
}
