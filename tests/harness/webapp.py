"""The story's first manifest: a Deployment of three nginx Pods and the Service in front of them."""

WEBAPP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: webapp}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: nginx}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-service}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: 80}]
"""
