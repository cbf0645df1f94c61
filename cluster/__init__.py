"""The service on a cluster: minikube from nothing, images, deployment, a first prediction."""
