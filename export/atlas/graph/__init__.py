"""The graphs of Huawei Atlas (Ascend): the deploy model, its simulation, lower opsets."""
