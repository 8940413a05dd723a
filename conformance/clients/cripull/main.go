// Command cripull asks a container runtime for an image exactly as a kubelet does.
//
//	cripull SOCKET pull REFERENCE     prints the reference the runtime gave the image
//	cripull SOCKET status REFERENCE   prints the runtime's identifier of the image
//	cripull SOCKET remove REFERENCE
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: cripull SOCKET pull|status|remove REFERENCE")
		os.Exit(2)
	}
	answer, err := ask(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println(answer)
}

func ask(socket, verb, reference string) (string, error) {
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	runtime := cri.NewImageServiceClient(connection)
	image := &cri.ImageSpec{Image: reference}
	switch verb {
	case "pull":
		pulled, err := runtime.PullImage(ctx, &cri.PullImageRequest{Image: image})
		return pulled.GetImageRef(), err
	case "status":
		status, err := runtime.ImageStatus(ctx, &cri.ImageStatusRequest{Image: image})
		if err == nil && status.GetImage() == nil {
			err = fmt.Errorf("no image %s", reference)
		}
		return status.GetImage().GetId(), err
	case "remove":
		_, err := runtime.RemoveImage(ctx, &cri.RemoveImageRequest{Image: image})
		return "", err
	default:
		return "", fmt.Errorf("no verb %s", verb)
	}
}
