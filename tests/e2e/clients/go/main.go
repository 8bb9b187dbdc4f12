// SPDX-License-Identifier: Apache-2.0

// The Go client libraries: one JSON job a line in, one JSON result a line out (see ../more.py).
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	openai "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	community "github.com/sashabaranov/go-openai"
)

type job struct {
	Client  string `json:"client"`
	How     string `json:"how"`
	BaseURL string `json:"base_url"`
	Key     string `json:"key"`
	Model   string `json:"model"`
	Text    string `json:"text"`
}

type result struct {
	OK     bool        `json:"ok"`
	Text   string      `json:"text"`
	Tools  [][2]string `json:"tools"`
	Finish string      `json:"finish"`
	Vector []float64   `json:"vector,omitempty"`
	Class  string      `json:"class,omitempty"`
	Status int         `json:"status,omitempty"`
	Error  string      `json:"message,omitempty"`
}

var schema = map[string]any{
	"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"},
}

func (r *result) tool(index int, name, arguments string) {
	for len(r.Tools) <= index {
		r.Tools = append(r.Tools, [2]string{})
	}
	r.Tools[index][0] += name
	r.Tools[index][1] += arguments
}

// ---- github.com/openai/openai-go -----------------------------------------------------------------------------------

func officialParams(j job) openai.ChatCompletionNewParams {
	params := openai.ChatCompletionNewParams{
		Model:    j.Model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(j.Text)},
	}
	if j.How == "tools" || j.How == "tools_stream" {
		params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(
			openai.FunctionDefinitionParam{Name: "weather", Parameters: schema})}
	}
	return params
}

func officialStream(client openai.Client, j job, r *result) error {
	stream := client.Chat.Completions.NewStreaming(context.Background(), officialParams(j))
	defer stream.Close()
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			r.Text += choice.Delta.Content
			if choice.FinishReason != "" {
				r.Finish = choice.FinishReason
			}
			for _, call := range choice.Delta.ToolCalls {
				r.tool(int(call.Index), call.Function.Name, call.Function.Arguments)
			}
		}
	}
	return stream.Err()
}

func official(j job, r *result) error {
	client := openai.NewClient(option.WithBaseURL(j.BaseURL), option.WithAPIKey(j.Key))
	if j.How == "embed" {
		said, err := client.Embeddings.New(context.Background(), openai.EmbeddingNewParams{
			Model: j.Model, Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String(j.Text)}})
		if err == nil {
			r.Vector = said.Data[0].Embedding
		}
		return err
	}
	if j.How == "stream" || j.How == "tools_stream" {
		return officialStream(client, j, r)
	}
	said, err := client.Chat.Completions.New(context.Background(), officialParams(j))
	if err != nil {
		return err
	}
	r.Text, r.Finish = said.Choices[0].Message.Content, said.Choices[0].FinishReason
	for i, call := range said.Choices[0].Message.ToolCalls {
		r.tool(i, call.Function.Name, call.Function.Arguments)
	}
	return nil
}

// ---- github.com/sashabaranov/go-openai -----------------------------------------------------------------------------

func communityRequest(j job) community.ChatCompletionRequest {
	request := community.ChatCompletionRequest{
		Model:    j.Model,
		Messages: []community.ChatCompletionMessage{{Role: community.ChatMessageRoleUser, Content: j.Text}},
	}
	if j.How == "tools" || j.How == "tools_stream" {
		request.Tools = []community.Tool{{Type: community.ToolTypeFunction,
			Function: &community.FunctionDefinition{Name: "weather", Parameters: schema}}}
	}
	return request
}

func communityStream(client *community.Client, j job, r *result) error {
	stream, err := client.CreateChatCompletionStream(context.Background(), communityRequest(j))
	if err != nil {
		return err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, choice := range chunk.Choices {
			r.Text += choice.Delta.Content
			if choice.FinishReason != "" {
				r.Finish = string(choice.FinishReason)
			}
			for _, call := range choice.Delta.ToolCalls {
				r.tool(*call.Index, call.Function.Name, call.Function.Arguments)
			}
		}
	}
}

func unofficial(j job, r *result) error {
	config := community.DefaultConfig(j.Key)
	config.BaseURL = j.BaseURL
	client := community.NewClientWithConfig(config)
	if j.How == "embed" {
		said, err := client.CreateEmbeddings(context.Background(),
			community.EmbeddingRequest{Model: community.EmbeddingModel(j.Model), Input: j.Text})
		if err == nil {
			for _, x := range said.Data[0].Embedding {
				r.Vector = append(r.Vector, float64(x))
			}
		}
		return err
	}
	if j.How == "stream" || j.How == "tools_stream" {
		return communityStream(client, j, r)
	}
	said, err := client.CreateChatCompletion(context.Background(), communityRequest(j))
	if err != nil {
		return err
	}
	r.Text, r.Finish = said.Choices[0].Message.Content, string(said.Choices[0].FinishReason)
	for i, call := range said.Choices[0].Message.ToolCalls {
		r.tool(i, call.Function.Name, call.Function.Arguments)
	}
	return nil
}

func run(j job) result {
	r := result{OK: true, Tools: [][2]string{}}
	ask := official
	if j.Client == "go-openai" {
		ask = unofficial
	}
	if err := ask(j, &r); err != nil {
		r.OK, r.Class, r.Error = false, fmt.Sprintf("%T", err), err.Error()
		var theirs *openai.Error
		var api *community.APIError
		switch {
		case errors.As(err, &theirs):
			r.Class, r.Status, r.Error = "*openai.Error", theirs.StatusCode, theirs.Message
		case errors.As(err, &api):
			r.Class, r.Status, r.Error = "*openai.APIError", api.HTTPStatusCode, api.Message
		}
	}
	return r
}

func main() {
	out := json.NewEncoder(os.Stdout)
	_ = out.Encode(map[string]bool{"ready": true})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var j job
		if err := json.Unmarshal(lines.Bytes(), &j); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		_ = out.Encode(run(j))
	}
}
