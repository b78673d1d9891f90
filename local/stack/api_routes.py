"""Create the routes of the HTTP API in MiniStack.

SAM writes an HTTP API's routes, integrations and authorizer as an OpenAPI body, which MiniStack 1.5 ignores.
This module creates them by API calls, from the body in the processed template. Delete it once `get_routes`
returns routes after a plain `sam deploy`.
"""

import json
from typing import Any

import boto3

AWS_API = "x-amazon-apigateway-"


def make_routes(session: boto3.Session, stack_name: str) -> str:
    """Replace the routes of a stack's HTTP API by those of its template. Return the API's id."""
    body, api_id = _openapi(session, stack_name)
    gateway: Any = session.client("apigatewayv2")
    _clear(gateway, api_id)
    functions = _functions(session, stack_name)
    authorizers = {
        name: _make_authorizer(gateway, api_id, name, scheme[f"{AWS_API}authorizer"], functions)
        for name, scheme in body["components"]["securitySchemes"].items()
    }
    for path, operations in body["paths"].items():
        for method, operation in operations.items():
            integration = operation[f"{AWS_API}integration"]
            integration_id = gateway.create_integration(
                ApiId=api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri=_function_in(integration["uri"], functions),
                PayloadFormatVersion=integration["payloadFormatVersion"],
            )["IntegrationId"]
            gateway.create_route(
                ApiId=api_id,
                RouteKey=f"{method.upper()} {path}",
                Target=f"integrations/{integration_id}",
                **_authorization(operation, authorizers),
            )
    return api_id


def _openapi(session: boto3.Session, stack_name: str) -> tuple[Any, str]:
    cloudformation = session.client("cloudformation")
    template: Any = cloudformation.get_template(StackName=stack_name, TemplateStage="Processed")
    template = template["TemplateBody"]
    resources = (json.loads(template) if isinstance(template, str) else template)["Resources"]
    [logical_id] = [name for name, item in resources.items() if item["Type"] == "AWS::ApiGatewayV2::Api"]
    resource = cloudformation.describe_stack_resource(StackName=stack_name, LogicalResourceId=logical_id)
    return resources[logical_id]["Properties"]["Body"], resource["StackResourceDetail"]["PhysicalResourceId"]


def _clear(gateway: Any, api_id: str) -> None:
    for route in gateway.get_routes(ApiId=api_id)["Items"]:
        gateway.delete_route(ApiId=api_id, RouteId=route["RouteId"])
    for integration in gateway.get_integrations(ApiId=api_id)["Items"]:
        gateway.delete_integration(ApiId=api_id, IntegrationId=integration["IntegrationId"])
    for authorizer in gateway.get_authorizers(ApiId=api_id)["Items"]:
        gateway.delete_authorizer(ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"])


def _functions(session: boto3.Session, stack_name: str) -> dict[str, str]:
    """Map each function's logical id to its ARN."""
    cloudformation, lambda_ = session.client("cloudformation"), session.client("lambda")
    resources = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    return {
        resource["LogicalResourceId"]: lambda_.get_function_configuration(
            FunctionName=resource["PhysicalResourceId"]
        )["FunctionArn"]
        for resource in resources
        if resource["ResourceType"] == "AWS::Lambda::Function"
    }


def _make_authorizer(gateway: Any, api_id: str, name: str, given: Any, functions: dict[str, str]) -> str:
    made = gateway.create_authorizer(
        ApiId=api_id,
        Name=name,
        AuthorizerType=given["type"].upper(),
        AuthorizerUri=_function_in(given["authorizerUri"], functions),
        IdentitySource=given["identitySource"],
        AuthorizerPayloadFormatVersion=given["authorizerPayloadFormatVersion"],
        AuthorizerResultTtlInSeconds=given["authorizerResultTtlInSeconds"],
        EnableSimpleResponses=given["enableSimpleResponses"],
    )
    return str(made["AuthorizerId"])


def _authorization(operation: Any, authorizers: dict[str, str]) -> dict[str, str]:
    """Who may call a route: without a requirement, everybody."""
    for name in (name for requirement in operation.get("security", []) for name in requirement):
        return {"AuthorizationType": "CUSTOM", "AuthorizerId": authorizers[name]}
    return {"AuthorizationType": "NONE"}


def _function_in(uri: Any, functions: dict[str, str]) -> str:
    """Return the ARN of the function in a URI, which is still an intrinsic function of CloudFormation."""
    text = json.dumps(uri)
    [arn] = {arn for name, arn in functions.items() if f'"{name}"' in text or f"${{{name}.Arn}}" in text}
    return arn
